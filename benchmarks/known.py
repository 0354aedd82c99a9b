"""Numbers that others published, beside ours: is the engine's science right?

`python -m benchmarks known --data-dir FOLDER` computes each row, writes it to
benchmarks/results/known.json as soon as it is known, and writes docs/reference/known-answers.md. A
row that the file holds for the same specs and versions is not computed again. With `--keep FOLDER`
the next call goes on with a row that this one has begun. With `--gpu` it computes the rows that
need a GPU instead, to known_gpu.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from benchmarks.engine_runs import choose_gpu, make_context, run_kind
from benchmarks.known_rows import find_colour_file, list_answers, write_colour_sets
from benchmarks.known_rules import Answer, mean_interval
from benchmarks.machine import describe_machine
from benchmarks.options import Options
from engine.determinism import prepare_process
from engine.errors import RunInterrupted
from engine.experiments.registry import parse_spec
from engine.spec import sha256_of
from engine.timing import monotonic

ROOT = Path(__file__).parents[1]
STORED = ROOT / "benchmarks" / "results" / "known.json"
STORED_GPU = STORED.with_name("known_gpu.json")
PAGE = ROOT / "docs" / "reference" / "known-answers.md"
SEEDS_AT_ONCE = 20
TIME_LIMIT_REACHED = 3
NEEDS = {
    "cifar10-jpeg": "`cifar10-jpeg.npz` in the data folder, and an hour",
    "gpu": "a GPU, and `--gpu`",
}
"""What a missing row needs"""


@dataclass(frozen=True, slots=True)
class Work:
    """How the rows are computed."""

    device: Literal["cpu", "cuda"] = "cpu"
    needs_gpu: bool = False
    """Whether the rows are those that need a GPU; else all others"""
    keep: Path | None = None
    """What one call has begun is there, and the next goes on from it; None: nothing is kept"""
    deadline: float | None = None
    """The time of `engine.timing.monotonic()` after which a training saves and ends"""


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where all rows agree, 1 where one does not, 3 where the time was over before."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks known", description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="folder with MNIST; default: digits")
    parser.add_argument("--out", type=Path, help="the JSON file; without it the page is written")
    parser.add_argument("--gpu", action="store_true", help="the rows that need a GPU")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="a later call goes on from it")
    parser.add_argument("--seconds", type=float, help="with --keep: save and end after so long")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: checks that it runs")
    chosen = parser.parse_args(arguments)
    if chosen.seconds is not None and chosen.keep is None:
        parser.error("--seconds needs --keep: what is begun would be lost")
    if chosen.smoke and chosen.out is None:
        parser.error("--smoke needs --out: what it computes is no answer")
    prepare_process()
    out = chosen.out or (STORED_GPU if chosen.gpu else STORED)
    with tempfile.TemporaryDirectory(prefix="richregime-known-") as folder:
        options = Options(Path(folder), chosen.data_dir, chosen.smoke, peers=False)
        work = _plan_work(parser, chosen, options)
        rows = []
        for row in measure(options, read_stored(out), work):
            rows.append(row)
            agrees = "agrees" if row.agrees else "DOES NOT AGREE"
            print(f"{row.setting}: {fmean(row.values):.4f} ({row.published}) {agrees}", flush=True)
            _write(out, options, rows)
        missing = [
            answer
            for answer in list_missing(options, [asdict(row) for row in rows])
            if _is_asked(answer, work)
        ]
    is_late = work.deadline is not None and monotonic() > work.deadline
    for answer in missing:
        why = "the same call goes on" if is_late else f"it needs {NEEDS[answer.needs]}"
        print(f"{answer.setting}: not computed; {why}")
    if chosen.out is None:
        documents = [json.loads(one.read_text()) for one in (STORED, STORED_GPU) if one.exists()]
        every = [row for document in documents for row in document["rows"]]
        PAGE.write_text(write_page(documents, list_missing(options, every)), encoding="utf-8")
    if is_late and missing:
        return TIME_LIMIT_REACHED
    return 0 if chosen.smoke or all(row.agrees for row in rows) else 1


def _plan_work(
    parser: argparse.ArgumentParser, chosen: argparse.Namespace, options: Options
) -> Work:
    """Ends the process with a message where the machine cannot do it."""
    deadline = None if chosen.seconds is None else monotonic() + chosen.seconds
    if not chosen.gpu:
        return Work(keep=chosen.keep, deadline=deadline)
    device = choose_gpu(options)
    if device is None:
        parser.error("--gpu: this machine has no GPU that torch can use")
    if not chosen.smoke and find_colour_file(options) is None:
        parser.error(f"--gpu: cifar10-jpeg.npz is not in --data-dir {chosen.data_dir}")
    return Work(device, True, chosen.keep, deadline)


def _is_asked(answer: Answer, work: Work) -> bool:
    return (answer.needs == "gpu") == work.needs_gpu


def measure(
    options: Options, stored: Sequence[Mapping[str, Any]], work: Work = Work()
) -> Iterator[Row]:
    """Each row that is asked for; the values of `stored` with equal identity are kept.

    A row without its file, or not ended by the deadline, is left out.
    """
    known = {(row["setting"], row["identity"]): Row(**row) for row in stored}
    registered = {} if work.needs_gpu else write_colour_sets(options)
    computed: dict[str, Sequence[Any]] = {}
    for answer in list_answers(options):
        if not _is_asked(answer, work):
            continue
        identity = answer.identity(options.data_dir)
        if (answer.setting, identity) in known:
            kept = known[answer.setting, identity]
            yield replace(kept, note=answer.note, rule=answer.rule)
            continue
        if answer.needs == "cifar10-jpeg" and not registered:
            continue
        found = []
        for spec in (answer.spec, *answer.further):
            key = sha256_of([dict(spec), answer.seeds])
            if key not in computed:
                computed[key] = _run_seeds(options, spec, answer.seeds, registered, work)
            found.append(computed[key])
        values = [answer.value(*results) for results in zip(*found, strict=True)]
        if not values:
            continue
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


def list_missing(options: Options, rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
    """The answers whose setting no row has."""
    known = {row["setting"] for row in rows}
    return [answer for answer in list_answers(options) if answer.setting not in known]


def _run_seeds(
    options: Options,
    spec: Mapping[str, Any],
    number: int,
    registered: dict[str, Path],
    work: Work,
) -> list[Any]:
    """The result of each seed; none where the time is over before.

    `SEEDS_AT_ONCE` train together, so that memory stays small.
    """
    results: list[Any] = []
    for start in range(0, number, SEEDS_AT_ONCE):
        seeds = range(start, min(start + SEEDS_AT_ONCE, number))
        keep = work.keep and work.keep / sha256_of([dict(spec), list(seeds)])[:16]
        ctx = make_context(
            options,
            seeds,
            registered=registered,
            keep=keep,
            deadline=work.deadline,
            device=work.device,
            threads=1,
        )
        try:
            results += run_kind(parse_spec(dict(spec)), ctx)
        except RunInterrupted:
            return []
        ctx.discard()
    return results


def write_page(documents: Sequence[Mapping[str, Any]], missing: Sequence[Answer]) -> str:
    """docs/reference/known-answers.md.

    documents: one for each machine. missing: what none of them has.
    """
    lines = [
        "# Known answers",
        "",
        "Numbers that others published, or that follow from an argument, beside those of this",
        "engine. The rule by which a row agrees was written before the row was computed. The page",
        "is written by `python -m benchmarks known --data-dir FOLDER`.",
        "",
        "| setting | published | source | ours, 95 % interval of the mean | n | rule | agrees |",
        "|---|---|---|---|---:|---|---|",
    ]
    notes: dict[str, int] = {}
    for row in (row for document in documents for row in document["rows"]):
        values = row["values"]
        low, high = mean_interval(values)
        ours = f"{fmean(values):.4f} [{low:.4f}, {high:.4f}]"
        cells = (
            *(row["setting"] + _refer(row["note"], notes), row["published"], row["source"], ours),
            *(str(len(values)), row["rule"], "yes" if row["agrees"] else "**no**"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for document in documents:
        machine = document["machine"]
        where = ", ".join([machine["processor"], *machine.get("gpus", ())])
        versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
        rows = len(document["rows"])
        told = "row" if rows == 1 else "rows"
        data = document["data"] + (" and JPEG copies of CIFAR-10" if _has_colour(document) else "")
        lines += [f"{rows} {told} computed on {where} ({versions}); data: {data}.", ""]
    if missing:
        lines += ["## Not computed yet", "", "| setting | published | source | needs |"]
        lines.append("|---|---|---|---|")
        for one in missing:
            setting = one.setting + _refer(one.note, notes)
            lines.append(f"| {setting} | {one.published} | {one.source} | {NEEDS[one.needs]} |")
        lines.append("")
    if notes:
        lines += ["## Notes", "", *(f"{number}. {note}." for note, number in notes.items()), ""]
    return "\n".join(lines)


def _refer(note: str, notes: dict[str, int]) -> str:
    """E.g. ` (note 2)`; equal notes have one number, which `notes` holds."""
    return f" ([note {notes.setdefault(note, len(notes) + 1)}](#notes))" if note else ""


def _has_colour(document: Mapping[str, Any]) -> bool:
    """Whether a row is of other images than the document names."""
    names = [row["spec"].get("data", {}).get("name", "") for row in document["rows"]]
    return any(name.startswith("cifar10-jpeg") for name in names)


def read_stored(path: Path) -> list[Mapping[str, Any]]:
    """The rows of an earlier call; none without the file."""
    return list(json.loads(path.read_text())["rows"]) if path.exists() else []


def _write(path: Path, options: Options, rows: Sequence[Row]) -> None:
    document = {
        "machine": describe_machine(),
        "data": options.data_description,
        "rows": [asdict(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
