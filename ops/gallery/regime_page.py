"""Writes docs/regime.md: does what an experiment shows depend on the regime, from the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.durations import format_seconds
from engine.labels import label_points
from engine.probes.reading import QUANTITY, describe_regimes
from engine.result import Statistic
from ops.gallery.texts import MARKS, Record, data_of, escape_cell, value_of

HEAD = """# Does it depend on the regime?

A net can fit its data in the *lazy* regime, as the linear model around its start, or in the *rich*
one, by changing its features. `output_scale` moves a net between the two, and
[probes](how-to/which-regime.md) measure where it lies. Here the regime is crossed with the
experiments of [the paper](paper-map.md).

What is claimed of each was written into its preset before anything was computed, and is judged as
[the paper's claims](explanation/verdicts.md) are. Where alpha goes from 0.1 to 100, all nets train
for the same epochs at the same learning rate, with the loss divided by alpha², so that a step
changes the output of lazy and rich nets by about as much at the start. Lazy nets end with a larger
train loss, so a difference between the regimes is one of whole trainings, not of nets with equal
loss.

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
        f"- [{QUESTIONS[name]}](#{name}) {_answer(found[name])}\n"
        for name in QUESTIONS
        if name in found
    ]
    parts = [HEAD.format(options=options), "".join(answers)]
    parts += [_section(found[name], results) for name in QUESTIONS if name in found]
    page.write_text("\n".join(parts), encoding="utf-8")


def _answer(record: Record) -> str:
    """The first claim, the verdict on it, and what was found."""
    first, *_ = record["comparison"]["own_verdicts"]
    name = first["name"][0].upper() + first["name"][1:]
    return f"*{name}*: **{MARKS[first['verdict']]}**. {first['sentence']}"


def _section(record: Record, results: str) -> str:
    name, verdicts = record["preset"], record["comparison"]["own_verdicts"]
    lines = [
        f'## <a id="{name}"></a>{QUESTIONS[name]}',
        "",
        _answer(record),
        "",
        *_describe_regime(record),
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
        f"{len(record['body']['seeds'])} seeds, {format_seconds(record['run_seconds'])}. "
        f"{record['description']}",
        "",
    ]
    return "\n".join(lines)


def _describe_regime(record: Record) -> Iterator[str]:
    labels = label_points([point["point"] for point in record["points"]])
    yield from describe_regimes(
        [
            (label, Statistic.model_validate(point["probes"][QUANTITY]))
            for label, point in zip(labels, record["points"], strict=True)
            if QUANTITY in (point.get("probes") or {})
        ]
    )
