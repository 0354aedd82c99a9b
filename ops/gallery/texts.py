"""How the pages of the gallery tell verdicts and records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from engine.result import Statistic
from engine.training.policies import PolicySpec, title_of
from richregime.formatting import format_statistic
from richregime.tables import format_cell

Record = Mapping[str, Any]
EARLIER = "judged by an earlier version"
"""Of a verdict without scale, reading and sentence"""
POLICY = "policy"
_POLICIES: TypeAdapter[PolicySpec] = TypeAdapter(PolicySpec)
MARKS = {
    "reproduced": "✔ reproduced",
    "not reproduced": "✘ not reproduced",
    "inconclusive": "– inconclusive",
}


def data_of(record: Record) -> str:
    data = record["body"]["spec"].get("data", {})
    size = data.get("train_size")
    return f"{data.get('name', 'digits')}{f', {size:,} train images' if size else ''}"


def name_value(axis: str, value: Any) -> str:
    """A swept value; a policy by its name in the paper, as in the plots."""
    if axis == POLICY and value:
        return title_of(_POLICIES.validate_python(value))
    return format_cell(value)


def name_values(axis: str, values: Iterable[Any]) -> str:
    """Swept values in a line; policies that differ only in rho share a name."""
    numbers: dict[str, list[str]] = {}
    for value in values:
        told = f"{value:,}" if isinstance(value, int) else name_value(axis, value)
        name, _, rho = told.partition(" (rho = ")
        numbers.setdefault(name, []).append(rho.removesuffix(")"))
    return ", ".join(
        f"{name} (rho = {', '.join(rhos)})" if any(rhos) else name for name, rhos in numbers.items()
    )


def where(verdict: Record) -> str:
    values = (f"{path} = {name_value(path, value)}" for path, value in verdict["point"].items())
    return f"({', '.join(values)})" if verdict["point"] else ""


def link(record: Record) -> str:
    """To its section on the page of its figure."""
    return f"[{record['preset']}](figures/{record['preset']}.md#{record['name']})"


def scale_of(verdict: Record) -> str:
    return str(verdict.get("scale", EARLIER))


def setting_of(verdict: Record) -> str:
    """How its points were made, and whether this version judged it."""
    parts = [
        "decided by theory" if verdict.get("decided_by") == "theory" else "",
        f"{verdict['scale']} scale" if "scale" in verdict else EARLIER,
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


def tell_statistic(value: Mapping[str, Any] | None) -> str:
    """Mean and standard error; empty without a value."""
    if not value:
        return ""
    statistic = Statistic.model_validate(value)
    return format_statistic(statistic.mean, statistic.standard_error)


def escape_cell(text: str) -> str:
    return text.replace("|", "\\|")
