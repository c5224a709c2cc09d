"""The prompt encoder: a small sentence encoder in SentenceTransformer format; phrasings of one scene lie together, like scenes lie near."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from aptp_bench.benchmarks.mini_world.loop import Parts, Recipe, averaged, fit
from aptp_bench.benchmarks.mini_world.scenes import Scenes
from aptp_bench.benchmarks.mini_world.towers import phrased

RECIPE = Recipe(steps=700, batch=128, lr=1e-3, ema=0.98, save_every=250, seed=5)
WIDTH, LENGTH = 128, 48
SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
# How alike two scenes are: the subject says most about a prompt, then how it is composed, then the setting, then the rest.
WEIGHTS = torch.tensor([0.35, 0.15, 0.1, 0.05, 0.2, 0.06, 0.03, 0.03, 0.03])
SHARPNESS, TEMPERATURE = 12.0, 0.07


def train(data: Scenes, held_out: Scenes, folder: Path, recipe: Recipe = RECIPE) -> SentenceTransformer:
    """Train so that the similarity of two prompts follows the likeness of their scenes."""
    torch.manual_seed(recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(data)
    bert = network(tokenizer)

    def draw(generator: torch.Generator) -> Parts:
        index = torch.randint(len(data), (recipe.batch,), generator=generator)
        captions = [caption for _ in range(2) for caption in phrased(data, index, generator)]
        return {"likeness": likeness(data.labels[index]), **tokenised(tokenizer, captions)}

    def loss(drawn: Parts) -> Parts:
        one, two = embed(bert, drawn).chunk(2)
        return {"loss": F.cross_entropy(one @ two.T / TEMPERATURE, drawn["likeness"])}

    def watch(step: int) -> dict[str, float]:
        return {"subject_of_nearest": nearest(bert, tokenizer, held_out)}

    return packed(fit(bert, draw, loss, recipe, folder, watch), tokenizer)


def trained(data: Scenes, folder: Path) -> SentenceTransformer:
    """The encoder of the last checkpoint."""
    tokenizer = _tokenizer(data)
    return packed(averaged(network(tokenizer), folder), tokenizer)


def network(tokenizer: PreTrainedTokenizerFast) -> BertModel:
    """An untrained BERT of three layers."""
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=3, num_attention_heads=4,
                        intermediate_size=4 * WIDTH, max_position_embeddings=LENGTH, hidden_dropout_prob=0.0,
                        attention_probs_dropout_prob=0.0, pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    return BertModel(config, add_pooling_layer=False)


def tokenised(tokenizer: PreTrainedTokenizerFast, captions: list[str]) -> Parts:
    """input_ids and attention_mask, as long as the longest caption."""
    made = tokenizer(captions, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt")
    return {"input_ids": made["input_ids"], "attention_mask": made["attention_mask"]}


def embed(bert: nn.Module, tokens: Parts) -> Tensor:
    """Mean of the token states, of unit length: [n, 128]."""
    states = bert(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
    mask = tokens["attention_mask"][..., None].float()
    return F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


def likeness(labels: Tensor) -> Tensor:
    """Target distribution over the batch for every scene: [n, n], rows sum to one."""
    equal = (labels[:, None] == labels[None]).float() @ WEIGHTS
    return (SHARPNESS * equal).softmax(dim=1)


@torch.no_grad()
def nearest(bert: nn.Module, tokenizer: PreTrainedTokenizerFast, data: Scenes, number: int = 1_024) -> float:
    """Share of held-out captions whose nearest other caption has the same subject."""
    vectors = embed(bert, tokenised(tokenizer, [data.captions[i][0] for i in range(number)]))
    scores = (vectors @ vectors.T).fill_diagonal_(-1)
    subjects = data.labels[:number, 0]
    return round(float((subjects[scores.argmax(1)] == subjects).float().mean()), 4)


def packed(bert: nn.Module, tokenizer: PreTrainedTokenizerFast) -> SentenceTransformer:
    """The trained network as a SentenceTransformer: transformer, mean pooling, normalisation."""
    whole = BertModel(bert.config)  # with its unused pooler, which loaders would otherwise report as missing
    whole.load_state_dict(bert.state_dict(), strict=False)
    with tempfile.TemporaryDirectory() as folder:
        whole.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        transformer = Transformer(folder, max_seq_length=LENGTH)
    return SentenceTransformer(modules=[transformer, Pooling(WIDTH, pooling_mode="mean"), Normalize()], device="cpu")


def _tokenizer(data: Scenes) -> PreTrainedTokenizerFast:
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer = normalizers.BertNormalizer(lowercase=True)
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=2_000, special_tokens=list(SPECIAL.values()), show_progress=False,
                                        initial_alphabet=[chr(c) for c in range(33, 127)])  # fmt: skip
    learner.train_from_iterator((c for phrasings in data.captions[:40_000] for c in phrasings), trainer)
    ends = [(name, learner.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    learner.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=learner, model_max_length=LENGTH, **SPECIAL)
