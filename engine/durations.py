"""Durations as people tell them: for messages, pages and logs. Imports no torch."""

from __future__ import annotations


def format_seconds(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h`, `2 h 5 min`, `154 days`, `12 years`."""
    if seconds < 0:
        return f"-{format_seconds(-seconds)}"
    if 0 < seconds < 0.05:
        return "under 0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return _join(minutes, "min", rest, "s")
    if minutes < 48 * 60:
        return _join(minutes // 60, "h", minutes % 60, "min")
    days = minutes / (24 * 60)
    return f"{days:.0f} days" if days < 730 else f"{days / 365.25:,.0f} years"


def format_offset(seconds: float) -> str:
    """Where one clock stands against another: `12 s ahead of`, `12 s behind`."""
    told = format_seconds(abs(seconds))
    return f"{told} ahead of" if seconds > 0 else f"{told} behind"


def _join(whole: int, unit: str, rest: int, small_unit: str) -> str:
    return f"{whole} {unit} {rest} {small_unit}" if rest else f"{whole} {unit}"
