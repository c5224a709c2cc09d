"""A CLIP tokenizer whose byte-pair merges were learnt on the scenes' captions: every word of theirs is one token."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from aptp_bench.models.stable_diffusion import byte_tokenizer

LENGTH = 32  # tokens of a prompt; the longest caption has 20


def learn(captions: Iterable[str]) -> CLIPTokenizer:
    """Learn the merges. Any other text still becomes tokens, byte by byte where need be."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2_048, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(captions, trainer)
    return byte_tokenizer(LENGTH, json.loads(learner.to_str())["model"]["merges"])
