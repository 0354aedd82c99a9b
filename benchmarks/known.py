"""Numbers that others published, beside ours: is the engine's science right?

`python -m benchmarks known --data-dir FOLDER` computes each row, writes it to
benchmarks/results/known.json as soon as it is known, and writes docs/reference/known-answers.md. A
row that the file holds for the same specs and versions is not computed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.engine_runs import make_context, run_kind
from benchmarks.known_rows import list_answers, write_colour_sets
from benchmarks.known_rules import mean_interval
from benchmarks.options import Options
from engine.experiments.registry import parse_spec
from engine.spec import sha256_of

SEEDS_AT_ONCE = 20


@dataclass(slots=True)
class Row:
    """The computed answer."""

    setting: str
    published: str
    source: str
    values: list[float]
    rule: str
    agrees: bool
    note: str
    identity: str
    spec: dict[str, Any] = field(default_factory=dict)


def measure(options: Options, stored: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Each row that this machine can compute; those of `stored` with equal identity are kept."""
    known = {(row["setting"], row["identity"]): Row(**row) for row in stored}
    registered = write_colour_sets(options)
    computed: dict[str, Sequence[Any]] = {}
    for answer in list_answers(options):
        identity = answer.identity(options.data_dir)
        if (answer.setting, identity) in known:
            yield replace(known[answer.setting, identity], note=answer.note)
            continue
        if answer.needs == "cifar10-jpeg" and not registered:
            continue
        found = []
        for spec in (answer.spec, *answer.further):
            key = sha256_of([dict(spec), answer.seeds])
            if key not in computed:
                computed[key] = list(_run_seeds(options, spec, answer.seeds, registered))
            found.append(computed[key])
        values = [answer.value(*results) for results in zip(*found, strict=True)]
        yield Row(
            answer.setting,
            answer.published,
            answer.source,
            values,
            answer.rule,
            answer.agrees(values),
            answer.note,
            identity,
            dict(answer.spec),
        )


def _run_seeds(
    options: Options, spec: Mapping[str, Any], number: int, registered: dict[str, Path]
) -> Iterator[Any]:
    """The result of each seed; `SEEDS_AT_ONCE` train together, so that memory stays small."""
    for start in range(0, number, SEEDS_AT_ONCE):
        seeds = range(start, min(start + SEEDS_AT_ONCE, number))
        ctx = make_context(options, seeds, registered=registered, threads=1)
        yield from run_kind(parse_spec(dict(spec)), ctx)
        ctx.discard()


def write_page(document: Mapping[str, Any]) -> str:
    """docs/reference/known-answers.md."""
    lines = [
        "# Known answers",
        "",
        "Numbers that others published, or that follow from an argument, beside those of this",
        "engine. The rule by which a row agrees was written before the row was computed. The page",
        "is written by `python -m benchmarks known --data-dir FOLDER`.",
        "",
        "| setting | published | source | ours, 95 % interval of the mean | n | agrees |",
        "|---|---|---|---|---:|---|",
    ]
    for row in document["rows"]:
        values = row["values"]
        low, high = mean_interval(values)
        note = f" ({row['note']})" if row["note"] else ""
        verdict = f"{'yes' if row['agrees'] else '**no**'}: {row['rule']}"
        ours = f"{fmean(values):.4f} [{low:.4f}, {high:.4f}]"
        cells = (f"{row['setting']}{note}", row["published"], row["source"], ours)
        lines.append(f"| {' | '.join(cells)} | {len(values)} | {verdict} |")
    machine = document["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
    lines += ["", f"Computed on {machine['processor']} ({versions}); data: {document['data']}.", ""]
    return "\n".join(lines)


def read_stored(path: Path) -> list[Mapping[str, Any]]:
    """The rows of an earlier call; none without the file."""
    return list(json.loads(path.read_text())["rows"]) if path.exists() else []
