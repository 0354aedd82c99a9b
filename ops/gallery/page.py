"""Writes docs/paper-map.md from the records of `compute`: presets, plots, results, verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.experiments.registry import presets
from engine.paper.claims import CLAIMS
from engine.result import Statistic
from ops.gallery.entries import paper_order
from richregime.formatting import format_statistic
from richregime.tables import format_cell

Record = Mapping[str, Any]

HEAD = """# The paper, figure by figure

This page lists every figure and table of Li & Banerjee, *Experiments with Rich Regime Training for
Deep Learning*: its preset, the results of this project, and verdicts on the paper's claims. One
command writes it; if interrupted, run it again and it continues:

```sh
# FOLDER has MNIST and Fashion-MNIST; without it they are downloaded
./run gallery --data-dir FOLDER
```

The experiments are sized for two CPU cores; each lists its deviations from the paper. Every
experiment is a preset: `GET /presets/NAME?scale=paper` returns it at the paper's size, and
`&reading=printed` at the printed choices. A verdict is *reproduced* only if the whole 95 %
interval, over at least three seeds, agrees with the claim, and *inconclusive* if the statistics
neither confirm nor refute it.
"""
FIELDS_SHOWN = 6
MARKS = {
    "reproduced": "✔ reproduced",
    "not reproduced": "✘ not reproduced",
    "inconclusive": "– inconclusive",
}


def write_page(results: Path, page: Path) -> None:
    """Write the page of all records in the folder `results`, which is below the page's folder."""
    records = read_records(results)
    folder = results.relative_to(page.parent).as_posix()
    parts = [HEAD, _claims_section(records), _index_section(records)]
    parts += [_figure_section(record, folder) for record in records]
    page.write_text("\n".join(parts), encoding="utf-8")


def read_records(results: Path) -> list[Record]:
    """The records that `compute` has written, in the order of the paper."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in results.glob("*.json")]
    return sorted(records, key=lambda record: paper_order(record["name"]))


def _claims_section(records: Sequence[Record]) -> str:
    lines = [
        "\n## The eight claims\n",
        "| claim | verdict | value, 95 % interval | n | experiment | reason |",
        "|---|---|---|---:|---|---|",
    ]
    for claim in CLAIMS:
        title = f"**{claim.number}. {claim.title}** ({claim.section})"
        for record, verdict in _distinct_verdicts(records, claim.number):
            name = f"[{record['name']}](#{record['name']}) {_where(verdict)}".strip()
            cells = (
                *(title, MARKS[verdict["verdict"]], _value(verdict), _count(verdict)),
                *(name, _cell(verdict["reason"])),
            )
            lines.append(f"| {' | '.join(cells)} |")
            title = ""
        if title:
            lines.append(f"| {title} | not computed | | | | |")
    return "\n".join(lines) + "\n"


def _distinct_verdicts(records: Sequence[Record], number: int) -> Iterator[tuple[Record, Record]]:
    """The verdicts on a claim, each once: figures of the same trainings have equal ones."""
    seen = set()
    for record in records:
        for verdict in (record["comparison"] or {"verdicts": []})["verdicts"]:
            key = json.dumps(
                [verdict["point"], verdict["value"], verdict["reason"]], sort_keys=True
            )
            if verdict["claim"] == number and key not in seen:
                seen.add(key)
                yield record, verdict


def _index_section(records: Sequence[Record]) -> str:
    lines = [
        "\n## Figures and presets\n",
        "| preset | title | scales | computed here |",
        "|---|---|---|---|",
    ]
    computed: dict[str, list[Record]] = {}
    for record in records:
        computed.setdefault(record["preset"], []).append(record)
    by_name: dict[str, list[str]] = {}
    for (name, scale), preset in presets().items():
        if preset.body["labels"].get("preset") != "demo":
            by_name.setdefault(name, []).append(scale)
    for name in sorted(by_name, key=paper_order):
        scales = by_name[name]
        title = presets()[name, scales[0]].title
        if name not in computed:
            lines.append(f"| `{name}` | {title} | {', '.join(sorted(scales))} | no |")
        for record in computed.get(name, ()):
            num_seeds = len(record["body"]["seeds"])
            how = f"{_data_of(record)}, {num_seeds} seeds, {_minutes(record['run_seconds'])}"
            linked = f"[`{record['name']}`](#{record['name']})"
            shown = title if record["name"] == name else record["title"]
            lines.append(f"| {linked} | {shown} | {', '.join(sorted(scales))} | {how} |")
    return "\n".join(lines) + "\n"


def _figure_section(record: Record, folder: str) -> str:
    lines = [
        f'\n## <a id="{record["name"]}"></a>{record["name"]}: {record["title"]}\n',
        record["description"],
        "",
    ]
    lines += [
        f"![{record['title']}: {plot}]({folder}/{record['name']}-{plot}.png)\n"
        for plot in record["plots"]
    ]
    lines += _result_table(record["points"])
    lines.append(_provenance(record))
    for verdict in (record["comparison"] or {"verdicts": []})["verdicts"]:
        claim = f"Claim {verdict['claim']}, {verdict['title']} {_where(verdict)}".strip()
        lines.append(
            f"- {claim}: **{verdict['verdict']}**{_setting(verdict)}. {_sentence(verdict)}"
        )
    deviations = _deviations(record)
    if deviations:
        lines.append(f"- Deviations from the paper: {'; '.join(deviations)}.")
    return "\n".join(lines) + "\n"


def _format_statistic(value: Mapping[str, Any] | None) -> str:
    if not value:
        return ""
    statistic = Statistic.model_validate(value)
    return format_statistic(statistic.mean, statistic.standard_error)


def _result_table(points: Sequence[Record]) -> list[str]:
    """The swept values and the first `FIELDS_SHOWN` statistics of each point."""
    axes = list(dict.fromkeys(axis for point in points for axis in point["point"]))
    fields = list(
        dict.fromkeys(
            name for point in points for name, value in point.items() if _is_statistic(value)
        )
    )[:FIELDS_SHOWN]
    lines = [
        f"| {' | '.join([*axes, *(field.replace('_', ' ') for field in fields), 'n'])} |",
        f"|{'---|' * len(axes)}{'---:|' * (len(fields) + 1)}",
    ]
    for point in points:
        values = [format_cell(point["point"].get(axis, "")) for axis in axes]
        shown = [_format_statistic(point.get(field)) for field in fields]
        dagger = " †" if point["outcome"] != "trained" else ""
        lines.append(f"| {' | '.join([*values, *shown, str(len(point['seeds'])) + dagger])} |")
    if any(point["outcome"] != "trained" for point in points):
        lines.append(
            "\n† not trained: the loss became infinite or NaN, or the net is no better than chance."
        )
    return [*lines, ""]


def _provenance(record: Record) -> str:
    machine = record["machine"]
    versions = ", ".join(
        f"{name} {version}"
        for name, version in machine["versions"].items()
        if name in ("torch", "richregime", "python")
    )
    changed = f"preset `{record['preset']}` at `quick` scale" + (
        " with changes" if record["is_changed"] else ""
    )
    reused = "; trainings of an earlier figure were reused" if record["reused_trainings"] else ""
    return (
        f"{changed}; {_data_of(record)}; mean ± one standard error; "
        f"{_minutes(record['run_seconds'])} of computing on "
        f"{machine.get('processor', machine['device'])} "
        f"({machine['threads']} thread per run; {versions}){reused}.\n"
    )


def _deviations(record: Record) -> list[str]:
    found = [
        line
        for verdict in (record["comparison"] or {"verdicts": []})["verdicts"]
        for line in verdict["deviations"]
    ]
    return list(dict.fromkeys([*found, *(record["deviations"] if not found else [])]))


def _data_of(record: Record) -> str:
    data = record["body"]["spec"].get("data", {})
    size = data.get("train_size")
    return f"{data.get('name', 'digits')}{f', {size:,} train images' if size else ''}"


def _where(verdict: Record) -> str:
    values = (f"{path} = {format_cell(value)}" for path, value in verdict["point"].items())
    return f"({', '.join(values)})" if verdict["point"] else ""


def _setting(verdict: Record) -> str:
    """How its points were made; empty for a record without it."""
    parts = [
        "decided by theory" if verdict.get("decided_by") == "theory" else "",
        f"{verdict['scale']} scale" if "scale" in verdict else "",
        f"reading `{verdict['reading']}`" if verdict.get("reading") else "",
    ]
    shown = ", ".join(filter(None, parts))
    return f" ({shown})" if shown else ""


def _sentence(verdict: Record) -> str:
    """What was found; the reason, where a record was written without a sentence."""
    return str(verdict.get("sentence", verdict["reason"]))


def _value(verdict: Record) -> str:
    if verdict["value"] is None:
        return ""
    interval = verdict["interval"]
    return f"{verdict['value']:.4g}" + (
        f" [{interval[0]:.4g}, {interval[1]:.4g}]" if interval else _no_spread(verdict)
    )


def _no_spread(verdict: Record) -> str:
    """Several values without an interval are all equal."""
    return " (no spread)" if verdict.get("n", 0) > 1 else ""


def _count(verdict: Record) -> str:
    return str(max((finding["n"] for finding in verdict["findings"]), default=0) or "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _is_statistic(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == set(Statistic.model_fields)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
