"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["this machine", "every scale", "scale mini", "scale paper", "this run"]
MACHINE: Scope = "this machine"
THIS_RUN: Scope = "this run"


@dataclass(frozen=True)
class Check:
    """One finding. `needed`: a run at scale mini cannot do without it; `fix`: what to do where it is not ok.

    scope: what it is for; download_gb: of the weights that are missing.
    """

    what: str
    ok: bool
    found: str
    needed: bool = True
    fix: str = ""
    scope: Scope = MACHINE
    download_gb: float | None = None
