"""Writes docs/figures/NAME.md: plots, results and verdicts of each preset, by reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.durations import format_seconds
from engine.result import Statistic
from ops.gallery.texts import (
    Record,
    data_of,
    name_value,
    sentence_of,
    setting_of,
    tell_statistic,
    value_of,
    where,
)

FIELDS_SHOWN = 6
_NAMES = {"initial_test_accuracy": "test accuracy before training"}
"""A reading may call a later net initial"""
BACK = "[The paper, claim by claim](../paper-map.md)"


def write_figure_pages(records: Sequence[Record], folder: Path, results: str) -> None:
    """Write a page for each preset of `records`.

    results: the folder of the plots, relative to `folder`. Pages of other presets are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_preset: dict[str, list[Record]] = {}
    for record in records:
        by_preset.setdefault(record["preset"], []).append(record)
    for name, found in by_preset.items():
        parts = [f"# {name}\n", BACK]
        parts += [_figure_section(record, results) for record in found]
        (folder / f"{name}.md").write_text("\n".join(parts), encoding="utf-8")
    for page in folder.glob("*.md"):
        if page.stem not in by_preset:
            page.unlink()


def _figure_section(record: Record, folder: str) -> str:
    lines = [f'\n## <a id="{record["name"]}"></a>{record["title"]}\n']
    lines.append(f"{record['description']}\n")
    lines += [
        f"![{record['title']}: {plot}]({folder}/{record['name']}-{plot}.png)\n"
        for plot in record["plots"]
    ]
    lines += _result_table(record)
    lines.append(_provenance(record))
    for verdict in (record["comparison"] or {"verdicts": []})["verdicts"]:
        claim = f"Claim {verdict['claim']}, {verdict['title']} {where(verdict)}".strip()
        lines.append(
            f"- {claim}: **{verdict['verdict']}**{setting_of(verdict)}. {sentence_of(verdict)}"
        )
        lines += [
            f"  - Beside it: {one['statement']}: {one['verdict']}, {value_of(one)}."
            for one in verdict["findings"]
            if one.get("role") == "beside" and one["value"] is not None
        ]
    lines += [
        f"- Claimed before, {one['name']}: **{one['verdict']}**. {one['sentence']}"
        for one in (record["comparison"] or {}).get("own_verdicts", ())
    ]
    departures = _departures(record)
    if departures:
        lines.append(f"- Departures from the paper: {'; '.join(departures)}.")
    if record.get("choices"):
        lines.append(f"- Choices where the paper is silent: {'; '.join(record['choices'])}.")
    return "\n".join(lines) + "\n"


def _result_table(record: Record) -> list[str]:
    """The swept values and the first `FIELDS_SHOWN` statistics of each point.

    The numbers that the paper prints of these statistics follow them.
    """
    points = record["points"]
    axes = list(dict.fromkeys(axis for point in points for axis in point["point"]))
    fields = list(
        dict.fromkeys(
            name for point in points for name, value in point.items() if _is_statistic(value)
        )
    )[:FIELDS_SHOWN]
    published = _list_published(record, fields)
    quantities = list(dict.fromkeys(quantity for _, quantity in published))
    names = [*fields, *(f"{one}, published" for one in quantities), "n"]
    lines = [
        f"| {' | '.join([*axes, *(_NAMES.get(name, name.replace('_', ' ')) for name in names)])} |",
        f"|{'---|' * len(axes)}{'---:|' * len(names)}",
    ]
    for point in points:
        values = [name_value(axis, point["point"].get(axis, "")) for axis in axes]
        shown = [tell_statistic(point.get(field)) for field in fields]
        shown += [published.get((repr(point["point"]), one), "") for one in quantities]
        dagger = " †" if point["outcome"] != "trained" else ""
        lines.append(f"| {' | '.join([*values, *shown, str(len(point['seeds'])) + dagger])} |")
    if any(point["outcome"] != "trained" for point in points):
        lines.append(
            "\n† not trained: the loss became infinite or NaN, or the net is no better than chance."
        )
    return [*lines, ""]


def _list_published(record: Record, fields: Sequence[str]) -> dict[tuple[str, str], str]:
    """By point and quantity: the paper's numbers. Its seconds are of another machine."""
    return {
        (repr(one["point"]), one["quantity"]): f"{one['at_least']:g}"
        for one in (record["comparison"] or {}).get("published", ())
        if one["quantity"] in fields
        and not one["quantity"].endswith("seconds")
        and one["at_least"] == one["at_most"]
    }


def _provenance(record: Record) -> str:
    machine = record["machine"]
    versions = ", ".join(
        f"{name} {version}"
        for name, version in machine["versions"].items()
        if name in ("torch", "richregime", "python")
    )
    changed = f"preset `{record['preset']}` at `{record['scale']}` scale" + (
        " with changes" if record["is_changed"] else ""
    )
    reused = "; trainings of an earlier figure were reused" if record["reused_trainings"] else ""
    return (
        f"{changed}; {data_of(record)}; mean ± one standard error; "
        f"its runs took {format_seconds(record['run_seconds'])} on "
        f"{machine.get('processor', machine['device'])} "
        f"({machine['threads']} thread per run; {versions}){reused}.\n"
    )


def _departures(record: Record) -> list[str]:
    found = [
        line
        for verdict in (record["comparison"] or {"verdicts": []})["verdicts"]
        for line in verdict["departures"]
    ]
    return list(dict.fromkeys([*found, *record["departures"]]))


def _is_statistic(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == set(Statistic.model_fields)
