"""How the pages of the gallery tell verdicts and records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from richregime.tables import format_cell

Record = Mapping[str, Any]
MARKS = {
    "reproduced": "✔ reproduced",
    "not reproduced": "✘ not reproduced",
    "inconclusive": "– inconclusive",
}


def data_of(record: Record) -> str:
    data = record["body"]["spec"].get("data", {})
    size = data.get("train_size")
    return f"{data.get('name', 'digits')}{f', {size:,} train images' if size else ''}"


def where(verdict: Record) -> str:
    values = (f"{path} = {format_cell(value)}" for path, value in verdict["point"].items())
    return f"({', '.join(values)})" if verdict["point"] else ""


def setting_of(verdict: Record) -> str:
    """How its points were made; empty for a record without it."""
    parts = [
        "decided by theory" if verdict.get("decided_by") == "theory" else "",
        f"{verdict['scale']} scale" if "scale" in verdict else "",
        f"reading `{verdict['reading']}`" if verdict.get("reading") else "",
    ]
    shown = ", ".join(filter(None, parts))
    return f" ({shown})" if shown else ""


def sentence_of(verdict: Record) -> str:
    """What was found; the reason, where a record was written without a sentence."""
    return str(verdict.get("sentence", verdict["reason"]))


def value_of(verdict: Record) -> str:
    if verdict["value"] is None:
        return ""
    interval = verdict["interval"]
    return f"{verdict['value']:.4g}" + (
        f" [{interval[0]:.4g}, {interval[1]:.4g}]" if interval else _no_spread(verdict)
    )


def _no_spread(verdict: Record) -> str:
    """Several values without an interval are all equal."""
    return " (no spread)" if verdict.get("n", 0) > 1 else ""


def escape_cell(text: str) -> str:
    return text.replace("|", "\\|")
