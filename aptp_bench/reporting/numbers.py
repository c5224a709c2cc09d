"""How numbers are written where people read them: on pages, in tables, in the terminal."""

from __future__ import annotations

from collections.abc import Callable

MEGA, GIGA = 1e6, 1e9
DIGITS = 6  # significant digits of what machines read: further ones are the computer's, not the measurement's


def significant(value: float, digits: int = 4) -> str:
    """3.200, 0.0127: as many significant digits, zeros at the end included; 1076.6, 41,667 from a thousand on."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}" if size >= 10_000 else f"{value:.1f}"
    return f"{value:#.{digits}g}".rstrip(".")


def brief(value: float) -> str:
    """Four significant digits at most, zeros at the end left away; more of a large whole number."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def fixed(value: float, decimals: int) -> str:
    """With the decimals of a column."""
    return f"{value:,.{decimals}f}"


def exact(value: float | None) -> str:
    """DIGITS significant digits, for machines; empty for None."""
    return "" if value is None else f"{value:.{DIGITS}g}"


def rounded(value: float) -> float:
    """To DIGITS significant digits."""
    return float(exact(value))


def macs(value: float) -> str:
    """MACs with a unit: 52.43 M, 1,074.55 G."""
    return f"{value / GIGA:,.2f} G" if value >= GIGA else f"{value / MEGA:,.2f} M"


def span(ends: tuple[float, float] | None, write: Callable[[float], str], between: str = " to ") -> str:
    """The ends of an interval; empty where there is none."""
    return "" if ends is None else between.join(map(write, ends))
