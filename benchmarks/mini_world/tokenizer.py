"""A CLIP tokenizer whose byte-pair merges were learnt on the scenes' captions: every word of theirs is one token."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

LENGTH = 32  # tokens of a prompt; the longest caption has 20
START, END = "<|startoftext|>", "<|endoftext|>"


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
    merges = json.loads(learner.to_str())["model"]["merges"]
    return _as_clip(sorted(alphabet), [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in merges])


def _as_clip(alphabet: list[str], merges: list[tuple[str, str]]) -> CLIPTokenizer:
    words = alphabet + [letter + "</w>" for letter in alphabet] + ["".join(pair) for pair in merges]
    words = [*dict.fromkeys(words), START, END]
    with tempfile.TemporaryDirectory() as folder:
        vocab, rules = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab.write_text(json.dumps({word: index for index, word in enumerate(words)}), encoding="utf-8")
        rules.write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n", encoding="utf-8")
        Path(folder, "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "bos_token": START,
                        "eos_token": END, "unk_token": END, "pad_token": END}), encoding="utf-8",
        )  # fmt: skip
        return CLIPTokenizer.from_pretrained(folder)
