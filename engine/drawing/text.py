"""Strings of a user in figures: shown as they are written, never read as formulas or controls."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache
from textwrap import fill
from typing import Any

from matplotlib.font_manager import FontProperties, findfont, get_font

FONT = "DejaVu Sans"
"""The font of all figures; it comes with matplotlib."""
NOT_SHOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for each character that the font does not have or that is not visible."""
DOLLAR = "\ue000"
"""Stands for an escaped dollar sign while lines are broken; `clean_text` leaves none in a text."""
CONTROLS = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Categories of characters that are not visible: controls, overrides of direction, surrogates."""


def clean_strings(value: Any) -> Any:
    """The JSON value with every string prepared by `clean_text`, names of fields included."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(name): clean_strings(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [one if isinstance(one, float) else clean_strings(one) for one in value]
    return value


def clean_text(text: str) -> str:
    """Text that matplotlib draws letter by letter.

    Dollar signs are escaped, so that none begins a formula; white space is one blank each; a
    character without a visible glyph is NOT_SHOWN.
    """
    if text.isascii() and text.isprintable():
        return text.replace("$", r"\$")
    return "".join(map(_clean_character, text)).replace("$", r"\$")


def wrap(text: str, letters: int) -> str:
    """Break the text into lines of at most `letters`; an escaped dollar sign counts as one."""
    lines = text.replace(r"\$", DOLLAR).split("\n")
    return "\n".join(fill(line, max(1, letters)) for line in lines).replace(DOLLAR, r"\$")


def _clean_character(character: str) -> str:
    if character.isspace():
        return " "
    is_shown = unicodedata.category(character) not in CONTROLS and ord(character) in _glyphs()
    return character if is_shown else NOT_SHOWN


@cache
def _glyphs() -> frozenset[int]:
    """The characters that the font has, as both regular and bold."""
    regular, bold = (
        get_font(findfont(FontProperties(family=FONT, weight=weight))).get_charmap()
        for weight in ("normal", "bold")
    )
    return frozenset(regular) & frozenset(bold)
