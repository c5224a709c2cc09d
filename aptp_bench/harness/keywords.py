"""The words that captions have in common: what an expert's prompts are about (APTP, arXiv:2406.12042, Tables 2 and 4)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

TOP = 5  # words that are named; the paper names two to six
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
STOP_WORDS = """
a about above after all along also an and another are around as at away back be because been before behind being below
beneath beside between both but by can down during each few for from front full had has have he her here his how i in
inside into is it its just large like little lot lots made many more most much near nearby new next no not of off on
one onto or other our out outside over people's person's photo picture image several she side sits sitting small so
some stands standing that the their them then there these they this those through to together top toward two under up
upon very view was way were what when where which while who will with within you your
"""
STOP = frozenset(STOP_WORDS.split())


def frequent_words(captions: Sequence[str], top: int = TOP) -> list[str]:
    """The words that most captions have, stop words left out; ties in alphabetical order."""
    seen: Counter[str] = Counter()
    for caption in captions:
        seen.update(set(WORD.findall(caption.lower())) - STOP)
    return [word for word, _ in sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:top]]
