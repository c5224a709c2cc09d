"""How far a run of several stages is, and how long it will take."""

from __future__ import annotations

from collections.abc import Mapping

READ = 0.5  # seconds: a stage that is over sooner was read, and says nothing of how long others take


class Overall:
    """The stages of a run, with how long each usually takes compared with the others, and those that are over."""

    def __init__(self, stages: Mapping[str, float]) -> None:
        self._ahead = dict(stages)
        self.total = sum(stages.values())
        self.count = len(stages)
        self._seconds = self._made = 0.0

    def end(self, name: str, seconds: float) -> bool:
        """A stage is over; whether it is one of these, and was not over before."""
        if name not in self._ahead:
            return False
        share = self._ahead.pop(name)
        if seconds >= READ:
            self._seconds, self._made = self._seconds + seconds, self._made + share
        return True

    @property
    def passed(self) -> float:
        """The shares of what is over, of `total`."""
        return self.total - sum(self._ahead.values())

    @property
    def left(self) -> float | None:
        """Seconds until all is over, judged by what was made so far; None before that."""
        return self._seconds / self._made * sum(self._ahead.values()) if self._made else None

    @property
    def said(self) -> str:
        """In words."""
        words = f"{self.count - len(self._ahead)} of {self.count} stages"
        return words if not self._ahead or self.left is None else f"{words}, about {clock(self.left)} left"


def clock(seconds: float) -> str:
    """Seconds as a person reads them: 45s, 3m12s, 2h05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
