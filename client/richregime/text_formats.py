"""The formats in which the service writes tables as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from richregime.errors import InvalidArgument

TextFormat = Literal["csv", "latex", "markdown"]
ReportFormat = Literal["pdf", "html", "md"]
"""Of a report"""
ENDINGS: Mapping[str, str] = {"csv": "csv", "latex": "tex", "markdown": "md"}
"""File extensions"""


def ending_of(text_format: str) -> str:
    """The file extension of a format. Raises InvalidArgument for an unknown one."""
    if text_format not in ENDINGS:
        raise InvalidArgument(f"there is no format {text_format!r}; choose {', '.join(ENDINGS)}")
    return ENDINGS[text_format]
