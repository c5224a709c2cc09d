"""The papers' figures as data: what each shows, which suites make its data, and why one cannot be made."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from pydantic import model_validator

from aptp_bench.core.documents import Frozen, nearest, shipped_yaml
from aptp_bench.errors import ConfigError

PAPERS = {"aptp": "APTP", "ld_pruner": "LD-Pruner"}


class PaperFigure(Frozen):
    """One figure of a paper; see catalog.yaml."""

    id: str
    title: str
    draws: str = ""
    suites: tuple[tuple[str, ...], ...] = ()
    rows: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    about: str = ""
    reason: str = ""

    @model_validator(mode="after")
    def _is_drawn_or_says_why_not(self) -> PaperFigure:
        if bool(self.draws and self.suites) == bool(self.reason):
            raise ValueError(f"figure '{self.id}' needs either a maker and suites, or a reason")
        return self

    @property
    def name(self) -> str:
        """For example "APTP, Fig. 5"."""
        paper, _, number = self.id.rpartition("_")
        return f"{PAPERS[paper]}, Fig. {number}"

    @property
    def command(self) -> str:
        """What draws it."""
        return f"aptp-bench figures {self.id}"

    @classmethod
    def get(cls, name: str) -> PaperFigure:
        """The figure of an id such as aptp_5. Raises ConfigError with a near one."""
        known, asked = catalog(), name.lower().replace("-", "_")
        if asked in known:
            return known[asked]
        near = nearest(asked, known)
        hint = f"did you mean {near[0]}?" if near else f"figures are {', '.join(known)}"
        raise ConfigError(f"the papers have no figure '{name}'; {hint}")


@cache
def catalog() -> dict[str, PaperFigure]:
    """Every figure by its id, in the order of the papers."""
    text = files("aptp_bench.reporting.paper_figures").joinpath("catalog.yaml").read_text(encoding="utf-8")
    return {id: PaperFigure.model_validate({"id": id, **facts}) for id, facts in shipped_yaml(text).items()}
