"""The training loop, fine-tuning by distillation, and the latents it reads."""
