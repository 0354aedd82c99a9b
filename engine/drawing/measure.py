"""Widths of texts in inches, and lines that fit a width. Imports no torch."""

from __future__ import annotations

from functools import lru_cache

from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font, LoadFlags

from engine.drawing.text import DOLLAR, FONT

BREAKS = "-_./=,"
"""A word that is too long is broken after one of these, else anywhere."""
POINTS = 72
"""To an inch."""
RESERVE = 1.02
"""Over the measured width: at low resolution letters are drawn on whole pixels."""


def text_inches(text: str, size: float, weight: str = "normal") -> float:
    """The width of the widest line of the text at `size` points."""
    return max(_width(line, weight) for line in text.split("\n")) * size * RESERVE


@lru_cache(maxsize=8192)
def _width(line: str, weight: str) -> float:
    """In inches at one point."""
    font = _font(weight)
    font.set_text(line.replace(r"\$", "$").replace(DOLLAR, "$"), 0, flags=LoadFlags.NO_HINTING)
    return float(font.get_width_height()[0]) / 64 / POINTS / POINTS


@lru_cache
def _font(weight: str) -> FT2Font:
    font = FT2Font(findfont(FontProperties(family=FONT, weight=weight)))
    font.set_size(POINTS, POINTS)
    return font


def wrap_to(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """Break the text into lines of at most `inches`; a longer word is broken too."""
    lines: list[str] = []
    for paragraph in text.replace(r"\$", DOLLAR).split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if text_inches(longer, size, weight) <= inches:
                line = longer
                continue
            lines += [line] if line else []
            *full, line = _break_word(word, inches, size, weight)
            lines += full
        lines.append(line)
    return "\n".join(lines).replace(DOLLAR, r"\$")


def _break_word(word: str, inches: float, size: float, weight: str) -> list[str]:
    """Parts of at most `inches`, broken after one of BREAKS where a part has one."""
    parts = [""]
    for letter in word:
        if parts[-1] and text_inches(parts[-1] + letter, size, weight) > inches:
            end = max(parts[-1].rfind(sign) for sign in BREAKS) + 1
            part, rest = (parts[-1][:end], parts[-1][end:]) if end else (parts[-1], "")
            parts[-1:] = [part, rest]
        parts[-1] += letter
    return parts
