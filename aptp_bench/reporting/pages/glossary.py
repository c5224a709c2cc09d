"""The words of a leaderboard that a reader may not know, each in a line: shown where one points at them, and listed at the end."""

from __future__ import annotations

from aptp_bench.core.differences import LEVEL
from aptp_bench.reporting.pages.answers import percent
from aptp_bench.reporting.ranking.answer import MARGIN

GLOSSARY = {
    "rank": "From 1 + the entries that are ahead beyond doubt to all but those that are behind: entries that cannot be told "
    "apart share a range of ranks.",
    "beyond doubt": f"The p-value of the difference, taken prompt by prompt and seed by seed, is at most {percent(LEVEL, 0)} after "
    "Holm's correction for all pairs of the board in that metric.",
    "undecided": "The difference is not beyond doubt. That is no proof that there is none.",
    f"at most {percent(MARGIN, 0)} worse": "The worse end of the interval of the difference to dense, as a share of dense's value. "
    "The intervals of all methods of a board hold together in 95 % of cases (Bonferroni), so that the cheapest may be picked.",
    "dense": "The network as it is, not pruned. It is measured beside every method and never ranked.",
    "MACs exact": "Multiply-accumulates of an image's U-Net calls, every product of matrices and convolution as executed, as "
    "a share of the dense network's. Below: in 10⁹, and the share over the training prompts, which the budget is about.",
    "× dense": "A value over the dense network's, where both were measured alike and the dense network's is not near zero.",
    "interval": "95 %: what other prompts, and other training seeds where there are several, would do to the value. The dot "
    "is the value, the line its interval, both on the range of the column.",
    "seeds": "Trainings of the same method that differ in their random numbers. A value is the mean over them.",
    "variant": "An entry whose settings differ from the recipe's: measured alike, not ranked.",
    "frontier": "The entries than which no other has both a better value and a lower cost.",
}
