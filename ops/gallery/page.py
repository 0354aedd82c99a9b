"""Writes docs/paper-map.md, an answer for each claim of the paper, from records of `compute`.

Beside it docs/paper-experiments.md, with every experiment that a claim was judged on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.durations import format_seconds
from engine.experiments.registry import presets
from engine.paper.claims import CLAIMS, PaperClaim
from engine.paper.readings import READINGS
from ops.gallery.entries import paper_order
from ops.gallery.figure_pages import write_figure_pages
from ops.gallery.findings import tell_findings, tell_other_parts
from ops.gallery.record import renew_texts
from ops.gallery.regime_page import QUESTIONS, write_regime_page
from ops.gallery.texts import (
    EARLIER,
    MARKS,
    Record,
    data_of,
    escape_cell,
    link,
    scale_of,
    sentence_of,
    value_of,
)

HEAD = """# The paper, claim by claim

Does what Li & Banerjee, *Experiments with Rich Regime Training for Deep Learning*, saw come out
again? One experiment answers for each claim, by
[a rule](explanation/verdicts.md#which-experiment-answers) that looks at no verdict; it was written
when most results were known. What the others found is counted beside it. See also
[every experiment](paper-experiments.md), [what depends on the regime](regime.md) and
[what the words mean](reference/glossary.md#the-paper).

The paper leaves choices open, so each experiment names its *reading*:

"""
COUNTS = """All experiments by reading: ✔ reproduced, ✘ not reproduced, – inconclusive. Some are
plots or parts of the same trainings: so are `fig2-first_epoch`, its widths 100 and 1,000, and
`reference_point`. A count is then not one of independent experiments.

In the tables of findings, a *bound* is what a claim asks of the value. Where the paper names no
number, it is this project's own."""
DECIDED = ("reproduced", "not reproduced")
EXPERIMENTS_PAGE = "paper-experiments.md"
EXPERIMENTS_HEAD = """# The paper, every experiment

All experiments that a claim of the paper was judged on; [the paper, claim by claim](paper-map.md)
has the answers. Some are plots or parts of the same trainings, so they are not independent. One
command computes them; if interrupted, run it again and it continues:

```sh
# FOLDER has MNIST and Fashion-MNIST; without it they are downloaded
./run gallery --data-dir FOLDER
```
"""
ANSWERS = {
    1: "fig2-first_epoch-widths_100_1000",
    2: "fig2-first_epoch-widths_100_1000",
    3: "fig4a-first_epoch",
    4: "fig2-first_epoch",
    5: "fig5",
    6: "fig7a",
    7: "fig9a",
    8: "fig1a",
}
"""By claim: the experiment that answers, by the rule in docs/explanation/verdicts.md. No result may
change the choice."""
REFERENCE_POINT = "reference_point"
REGIME_PAGE = "regime.md"
NO_READING = "other"
PICTURES = {
    1: "curves_log",
    2: "curves_linear",
    3: "accuracy_bars",
    4: "curves_log",
    5: "concentration",
    6: "accuracy_bars",
    7: "error_against_backward_time",
    8: "share_of_norm",
}
"""By claim: the plot of the experiment that answers, which shows it"""

REMARKS = {
    2: 'The paper adds that "the increase is more for wider networks"; the table has other widths.'
}
"""By claim: what its section of the paper says beyond the claim that is judged"""


def write_pages(results: Path, page: Path) -> None:
    """Write the page, that of every experiment, one for each figure, and that on the regime.

    All folders are in that of the page.
    """
    records = read_records(results)
    folder = results.relative_to(page.parent).as_posix()
    readings = [f"- `{one.name}`: {one.sentence}" for one in READINGS]
    readings.append(
        f"- `{NO_READING}`: None of these, or judged by an earlier version, which named none; the "
        "figure's page tells the departures."
    )
    parts = [HEAD + "\n".join(readings) + "\n", _reference_section(records, folder)]
    # The others cross the regime with it, and ask what depends on that.
    of_paper = [record for record in records if record["preset"] not in QUESTIONS]
    parts += [_overview(of_paper), *(_claim_section(of_paper, claim, folder) for claim in CLAIMS)]
    page.write_text("\n".join(filter(None, parts)), encoding="utf-8")
    parts = [EXPERIMENTS_HEAD, *(_experiments_section(of_paper, claim) for claim in CLAIMS)]
    parts.append(_index_section(records))
    (page.parent / EXPERIMENTS_PAGE).write_text("\n".join(parts), encoding="utf-8")
    write_figure_pages(records, page.parent / "figures", f"../{folder}")
    write_regime_page(records, page.parent / REGIME_PAGE, folder)


def read_records(results: Path) -> list[Record]:
    """The records that `compute` has written, in the order of the paper and of the readings."""
    records = [
        renew_texts(json.loads(path.read_text(encoding="utf-8"))) for path in results.glob("*.json")
    ]
    order = [one.name for one in READINGS]
    return sorted(
        records,
        key=lambda record: (
            *paper_order(record["preset"]),
            order.index(record["reading"]) if record.get("reading") in order else len(order),
        ),
    )


def _reference_section(records: Sequence[Record], folder: str) -> str:
    """What resetting towards each net gives, with the figure; empty without the record."""
    record = next((one for one in records if one["preset"] == REFERENCE_POINT), None)
    if record is None:
        return ""
    lines = ["## What initial means", ""]
    lines += [
        "The paper resets parameters to their *initial* values, and its accuracy rises again once",
        "most are reset. That depends on which net is called initial:",
        "",
        *(_describe_curve(point) for point in record["points"]),
        "",
        f"![Resetting towards three nets]({folder}/{record['name']}-curves_log.png)",
        "",
    ]
    return "\n".join(lines)


def _describe_curve(point: Record) -> str:
    """Where the active curve of a point starts, is lowest and ends."""
    curve = next(one for one in point["curves"] if one["mode"] == "active")
    fractions = curve["fractions_percent"]
    accuracy = [100 * statistic["mean"] for statistic in curve["test_accuracy"]]
    lowest = accuracy.index(min(accuracy))
    rise = accuracy[-1] - accuracy[lowest]
    end = f"rises by {rise:.1f} points to" if rise > 0 else "ends at"
    return (
        f"- {_name_reset(point['point']['reset_to'])}: from {accuracy[0]:.1f} %, with nothing "
        f"reset, accuracy falls to {accuracy[lowest]:.1f} % at {fractions[lowest]:g} %, and {end} "
        f"{accuracy[-1]:.1f} % with everything reset ({len(point['seeds'])} seeds)."
    )


def _name_reset(reset_to: Record) -> str:
    match reset_to["name"]:
        case "step":
            return f"The net after {reset_to['step']} steps"
        case "epoch":
            return f"The net after epoch {reset_to['epoch']}"
    return "The random net (theta_0)"


def _overview(records: Sequence[Record]) -> str:
    """The answer to each claim in a sentence; then a column for each reading."""
    names: list[str] = [one.name for one in READINGS]
    verdicts = {claim.number: list(_list_verdicts(records, claim)) for claim in CLAIMS}
    used = [
        name
        for name in [*names, NO_READING]
        if any(_reading_of(verdict) == name for one in verdicts.values() for _, verdict in one)
    ]
    lines = [
        "## The eight claims",
        "",
        "| claim | answer | reading | what was found | others by this reading |",
        "|---|---|---|---|---|",
        *(_answer_row(verdicts[claim.number], claim) for claim in CLAIMS),
        "",
        COUNTS,
        "",
        f"| claim | {' | '.join(f'`{name}`' for name in used)} |",
        f"|---|{'---|' * len(used)}",
    ]
    for claim in CLAIMS:
        cells = [_count(verdicts[claim.number], name) for name in used]
        lines.append(f"| {_link_claim(claim)} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _answer_row(verdicts: Sequence[tuple[Record, Record]], claim: PaperClaim) -> str:
    if not verdicts:
        return f"| {_link_claim(claim)} |  |  | Not computed here. |  |"
    _, verdict = _choose(verdicts, claim)
    reading = _reading_of(verdict)
    cells = (
        *(_link_claim(claim), MARKS[verdict["verdict"]], f"`{reading}`"),
        escape_cell(_end(sentence_of(verdict)) + tell_other_parts(verdict)),
        _count(_others(verdicts, verdict), reading),
    )
    return f"| {' | '.join(cells)} |"


def _link_claim(claim: PaperClaim) -> str:
    return f"[{claim.number}. {claim.title}](#claim-{claim.number})"


def _summarize(verdicts: Sequence[tuple[Record, Record]], reading: str) -> str:
    """The verdicts by one reading with their numbers, e.g. `✔ reproduced (2)`."""
    counts = _count_verdicts(verdicts, reading)
    return ", ".join(f"{MARKS[name]} ({count})" for name, count in counts.items())


def _count(verdicts: Sequence[tuple[Record, Record]], reading: str) -> str:
    """The same in a narrow cell, e.g. `✔ 2`."""
    counts = _count_verdicts(verdicts, reading)
    return ", ".join(f"{MARKS[name][0]} {count}" for name, count in counts.items())


def _count_verdicts(verdicts: Sequence[tuple[Record, Record]], reading: str) -> dict[str, int]:
    """How many experiments have each verdict, in the order of `MARKS`; those that occur."""
    found = [verdict["verdict"] for _, verdict in verdicts if _reading_of(verdict) == reading]
    return {name: found.count(name) for name in MARKS if name in found}


def _claim_section(records: Sequence[Record], claim: PaperClaim, folder: str) -> str:
    """The answer in one sentence, a row for each reading, and a figure."""
    verdicts = list(_list_verdicts(records, claim))
    lines = [
        f'## <a id="claim-{claim.number}"></a>{claim.number}. {claim.title}',
        "",
        f"*{claim.statement}* ({claim.section})",
        "",
    ]
    if claim.number in REMARKS:
        lines += [REMARKS[claim.number], ""]
    if not verdicts:
        return "\n".join([*lines, "Not computed here.", ""])
    record, verdict = _choose(verdicts, claim)
    lines += [
        _answer(verdicts, claim),
        "",
        *_tell_departures(record, verdict),
        tell_findings(record, verdict, verdicts),
        "| reading | verdicts | experiment | value, interval | n | scale |",
        "|---|---|---|---|---:|---|",
        *_reading_rows(verdicts, claim),
    ]
    picture = _picture(record, claim, folder)
    return "\n".join([*lines, "", *([picture, ""] if picture else [])])


def _tell_departures(record: Record, verdict: Record) -> list[str]:
    departures = list(dict.fromkeys([*verdict["departures"], *record["departures"]]))
    return [f"Departures from the paper: {'; '.join(departures)}.", ""] if departures else []


def _answer(verdicts: Sequence[tuple[Record, Record]], claim: PaperClaim) -> str:
    """What the experiment that answers found, and how many others by its reading agree."""
    record, verdict = _choose(verdicts, claim)
    reading = _reading_of(verdict)
    counts = _summarize(_others(verdicts, verdict), reading)
    beside = f" Other experiments by this reading: {counts}." if counts else ""
    return (
        f"**{MARKS[verdict['verdict']]}**{_describe_setting(verdict)} ({link(record)}). "
        f"{_end(sentence_of(verdict))}{tell_other_parts(verdict)}{beside}"
    )


def _end(sentence: str) -> str:
    return sentence if sentence.endswith(".") else f"{sentence}."


def _others(
    verdicts: Sequence[tuple[Record, Record]], verdict: Record
) -> list[tuple[Record, Record]]:
    return [pair for pair in verdicts if pair[1] is not verdict]


def _reading_rows(verdicts: Sequence[tuple[Record, Record]], claim: PaperClaim) -> Iterator[str]:
    for reading in dict.fromkeys(_reading_of(verdict) for _, verdict in verdicts):
        found = [pair for pair in verdicts if _reading_of(pair[1]) == reading]
        record, verdict = _choose(found, claim)
        every = f"[{len(found)}]({EXPERIMENTS_PAGE}#claim-{claim.number})"
        cells = (
            *(f"`{reading}`", f"{_summarize(found, reading)} of {every}"),
            *(link(record), value_of(verdict), str(verdict.get("n", "") or "")),
            scale_of(verdict),
        )
        yield f"| {' | '.join(cells)} |"


def _choose(verdicts: Sequence[tuple[Record, Record]], claim: PaperClaim) -> tuple[Record, Record]:
    """That of the experiment that answers; else of its preset, else of the paper's first figure.

    No verdict enters the choice.
    """
    return min(
        verdicts,
        key=lambda pair: (
            _is_answer(pair[0], claim),
            paper_order(pair[0]["preset"]),
            pair[0]["name"],
        ),
    )


def _is_answer(record: Record, claim: PaperClaim) -> tuple[bool, bool]:
    """A sort key: the experiment that answers, then others of its preset."""
    answer = ANSWERS[claim.number]
    return record["name"] != answer, record["preset"] != answer.split("-")[0]


def _experiments_section(records: Sequence[Record], claim: PaperClaim) -> str:
    """A row for each experiment."""
    lines = [
        f'## <a id="claim-{claim.number}"></a>{claim.number}. {claim.title}',
        "",
        "| reading | scale | figure | verdict | value, interval | n | found |",
        "|---|---|---|---|---|---:|---|",
    ]
    for record, verdict in _list_verdicts(records, claim):
        cells = (
            *(f"`{_reading_of(verdict)}`", scale_of(verdict), link(record)),
            *(MARKS[verdict["verdict"]], value_of(verdict), str(verdict.get("n", "") or "")),
            escape_cell(sentence_of(verdict)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _picture(record: Record, claim: PaperClaim, folder: str) -> str:
    """The plot of the experiment that answers; empty where it has none."""
    plot = PICTURES[claim.number]
    if plot not in record["plots"]:
        return ""
    return f"![{record['title']}]({folder}/{record['name']}-{plot}.png)"


def _describe_setting(verdict: Record) -> str:
    parts = [
        f"by the reading `{verdict['reading']}`" if verdict.get("reading") else "",
        f"at {verdict['scale']} scale" if "scale" in verdict else EARLIER,
        "decided by theory" if verdict.get("decided_by") == "theory" else "",
    ]
    return "".join(f", {part}" for part in parts if part)


def _list_verdicts(records: Sequence[Record], claim: PaperClaim) -> Iterator[tuple[Record, Record]]:
    """The verdicts on a claim, each once, the most telling first.

    Figures of the same trainings have equal ones; that of the claim's own figure is kept. Decided
    verdicts come before others, the paper's scale before a reduced one, and `first_epoch` before
    the other readings. Points that do not measure the claim are left out.
    """
    found: dict[str, tuple[Record, Record]] = {}
    for record in sorted(records, key=lambda record: _is_answer(record, claim)):
        for verdict in (record["comparison"] or {"verdicts": []})["verdicts"]:
            key = json.dumps(
                [verdict["point"], verdict["value"], verdict["reason"]], sort_keys=True
            )
            is_measured = verdict["value"] is not None or verdict.get("decided_by") == "theory"
            if verdict["claim"] == claim.number and is_measured:
                found.setdefault(key, (record, verdict))
    return iter(
        sorted(
            found.values(),
            key=lambda pair: (
                pair[1]["verdict"] not in DECIDED,
                pair[1].get("scale") != "paper",
                _telling(pair[1].get("reading")),
            ),
        )
    )


def _reading_of(verdict: Record) -> str:
    return str(verdict.get("reading") or NO_READING)


def _telling(reading: str | None) -> int:
    """A sort key: the leading explanation first, then the others in their order."""
    order = ["first_epoch", "few_steps", "trainable", "printed"]
    return order.index(reading) if reading in order else len(order)


def _index_section(records: Sequence[Record]) -> str:
    """A row for each record, and one for each preset without a record."""
    lines = [
        "## Figures and presets",
        "",
        "Every experiment is a preset: `GET /presets/NAME?scale=paper&reading=first_epoch` returns "
        "it.",
        "",
        "| preset | title | scale | computed here |",
        "|---|---|---|---|",
    ]
    by_preset: dict[str, list[Record]] = {}
    for record in records:
        by_preset.setdefault(record["preset"], []).append(record)
    scales: dict[str, list[str]] = {}
    for (name, scale), preset in presets().items():
        if preset.body["labels"].get("preset") != "demo":
            scales.setdefault(name, []).append(scale)
    for name in sorted(scales, key=paper_order):
        lines += [_index_row(record) for record in by_preset.get(name, ())]
        if name not in by_preset:
            title = presets()[name, scales[name][0]].title
            lines.append(f"| `{name}` | {title} | {', '.join(sorted(scales[name]))} | no |")
    return "\n".join(lines) + "\n"


def _index_row(record: Record) -> str:
    seeds, seconds = len(record["body"]["seeds"]), format_seconds(record["run_seconds"])
    cells = (
        *(link(record), record["title"]),
        f"{record['scale']}{', preset with changes' if record['is_changed'] else ''}",
        f"{data_of(record)}, {seeds} seeds, {seconds}",
    )
    return f"| {' | '.join(cells)} |"
