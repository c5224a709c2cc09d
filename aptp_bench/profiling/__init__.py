"""What a network costs: MACs and parameters by block, memory, latency measured and predicted, and whether widths fit."""
