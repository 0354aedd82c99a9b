"""Writes docs/regime.md: does what an experiment shows depend on the regime, from the records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.durations import format_seconds
from engine.labels import label_points
from engine.probes.reading import QUANTITY, tell_distance
from engine.result import Statistic
from ops.gallery.texts import MARKS, Record, data_of, escape_cell, tell_statistic, value_of

HEAD = """# Does it depend on the regime?

A net can fit its data in the *lazy* regime, as the linear model around its start, or in the *rich*
one, by changing its features. `output_scale` moves a net between the two, and
[probes](how-to/which-regime.md) measure where it lies. Here the regime is crossed with the
experiments of [the paper](paper-map.md).

What is claimed of each was written into its preset before anything was computed, and is judged as
[the paper's claims](explanation/verdicts.md) are. Where alpha goes from 0.1 to 100, all nets train
for the same epochs at the same learning rate, with the loss divided by alpha², so that a step
changes the output of lazy and rich nets by about as much at the start. They do not end with equal
losses: the tables have the cross-entropy at the end, on the batch that the probes use. So a
difference between the regimes is one of whole trainings.

```sh
./run gallery {options} --data-dir FOLDER
```
"""
QUESTIONS = {
    "lazy_to_rich": "How do kernel and accuracy follow alpha?",
    "regime_reinit": "Do the most active parameters matter more when rich?",
    "regime_activity": "Where are the active parameters?",
    "regime_lws": "Does training only the top layers cost more when rich?",
    "grokking": "Does generalisation come late with a larger alpha?",
}
"""By preset, in the order of the page"""


def write_regime_page(records: Sequence[Record], page: Path, results: str) -> None:
    """Write the page of the presets in QUESTIONS that have a record.

    results: the folder of the plots, relative to that of the page.
    """
    found = {record["preset"]: record for record in records if record["preset"] in QUESTIONS}
    options = " ".join(f"--only {name}" for name in QUESTIONS if name in found)
    answers = [
        f"- [{QUESTIONS[name]}](#{name}) {_verdict(found[name])}\n"
        for name in QUESTIONS
        if name in found
    ]
    parts = [HEAD.format(options=options), "".join(answers)]
    parts += [_section(found[name], results) for name in QUESTIONS if name in found]
    page.write_text("\n".join(parts), encoding="utf-8")


def _verdict(record: Record) -> str:
    """The first claim, and the verdict on it."""
    first, *_ = record["comparison"]["own_verdicts"]
    name = first["name"][0].upper() + first["name"][1:]
    return f"*{name}*: **{MARKS[first['verdict']]}**."


def _section(record: Record, results: str) -> str:
    name, verdicts = record["preset"], record["comparison"]["own_verdicts"]
    lines = [
        f'## <a id="{name}"></a>{QUESTIONS[name]}',
        "",
        f"{_verdict(record)} {verdicts[0]['sentence']}",
        "",
        *_list_points(record),
        "",
        "| claim | verdict | value, interval | n | found |",
        "|---|---|---|---:|---|",
    ]
    for verdict in verdicts:
        cells = (verdict["name"], MARKS[verdict["verdict"]], value_of(verdict), str(verdict["n"]))
        lines.append(f"| {' | '.join(cells)} | {escape_cell(verdict['sentence'])} |")
    lines += [
        "",
        *(f"![{record['title']}: {plot}]({results}/{name}-{plot}.png)" for plot in record["plots"]),
        "",
        f"Preset [`{name}`](figures/{name}.md): {data_of(record)}, "
        f"{_epochs_of(record)}{len(record['body']['seeds'])} seeds, "
        f"{format_seconds(record['run_seconds'])}. "
        f"{record['description']}",
        "",
    ]
    return "\n".join(lines)


def _list_points(record: Record) -> list[str]:
    """How far the kernel of each point moved, and how well its nets fit."""
    labels = label_points([point["point"] for point in record["points"]])
    lines = [
        "| point | the tangent kernel moved by | cross-entropy at the end | test accuracy |",
        "|---|---|---:|---:|",
    ]
    for label, point in zip(labels, record["points"], strict=True):
        probes = point.get("probes") or {}
        distance = probes.get(QUANTITY)
        cells = (
            *(label, tell_distance(Statistic.model_validate(distance)) if distance else ""),
            *(tell_statistic(probes.get("probe_loss")), tell_statistic(point.get("test_accuracy"))),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _epochs_of(record: Record) -> str:
    """Empty where they are swept, as the table tells them."""
    spec, sweep = record["body"]["spec"], record["body"].get("sweep", {})
    return f"{spec['epochs']} epochs, " if "epochs" in spec and "epochs" not in sweep else ""
