"""Text in CSV files: a spreadsheet shows it and computes nothing."""

from __future__ import annotations

from typing import Any

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet read a cell as a formula; the last four are full-width variants."""


def plain_cell(value: Any) -> Any:
    """The value of a cell: text that a spreadsheet would compute gets an apostrophe before it.

    Numbers and None stay as they are.
    """
    is_formula = isinstance(value, str) and value.lstrip(" ").startswith(FORMULA_STARTS)
    return f"'{value}" if is_formula else value
