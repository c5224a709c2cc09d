"""A compute budget: a share of the dense network's MACs, and the convention they are counted in."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aptp_bench.core.documents import Frozen
from aptp_bench.errors import BudgetError

Convention = Literal["exact", "aptp", "modules"]
CONVENTIONS: tuple[Convention, ...] = ("exact", "aptp", "modules")
TOLERANCE = 0.005  # of the dense MACs: how far from its budget a method may land


class Budget(Frozen):
    """`ratio` of the dense MACs, counted in `convention`."""

    ratio: float = Field(gt=0, le=1)
    convention: Convention = "exact"

    @classmethod
    def of(cls, ratio: float, convention: str = "exact") -> Budget:
        """A checked budget. Raises BudgetError unless 0 < ratio <= 1 and the convention is known."""
        if convention not in CONVENTIONS:
            raise BudgetError(f"unknown MAC convention '{convention}'; use --macs with one of {', '.join(CONVENTIONS)}")
        if not 0.0 < ratio <= 1.0:
            raise BudgetError(
                f"budget {ratio:g} is not a share of the dense MACs; use --budget with 0 < budget <= 1, e.g. 0.78"
            )
        return cls(ratio=ratio, convention=convention)

    def missed_by(self, ratio: float) -> float:
        """How far a measured ratio lies from the budget, signed, as a share of the dense MACs."""
        return ratio - self.ratio
