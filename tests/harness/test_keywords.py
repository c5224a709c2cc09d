from __future__ import annotations

from aptp_bench.harness.keywords import frequent_words


def test_words_are_counted_once_a_caption_without_stop_words() -> None:
    captions = ["A cat and a cat and a cat on the mat", "The bird's mat", "a MAT, a dog.", "a dog"]
    assert frequent_words(captions, 2) == ["mat", "dog"]  # three captions and two; the cats are in one
    assert "the" not in frequent_words(captions, 10) and "a" not in frequent_words(captions, 10)


def test_ties_are_in_alphabetical_order() -> None:
    assert frequent_words(["zebra bear", "bear zebra", "ant"], 2) == ["bear", "zebra"]
