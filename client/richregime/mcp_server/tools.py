"""The tools: each a call of the client, answered with short text or an image."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from richregime.async_client import AsyncClient
from richregime.enums import ExperimentStatus, Scope
from richregime.formatting import format_duration
from richregime.mcp_server import arguments as given
from richregime.mcp_server.spec_fields import describe_field, describe_fields
from richregime.mcp_server.texts import ToolFailure, find_not_finite, short_json
from richregime.metric_table import MetricTable
from richregime.types import Experiment, ModelResource, Plot, Preview, PreviewGrowth, Verdict

Parsed = TypeVar("Parsed")
ReportProgress = Callable[[float, float, str], Awaitable[None]]
"""done, total, message"""

CONFIRM_ABOVE_SECONDS = 600.0
"""Device seconds above which `submit` needs `confirm`, unless the server is told otherwise"""
POLL_SECONDS = (0.3, 2.0)
"""First and longest pause between two looks at an experiment that is waited for"""
MAX_IMAGE_BYTES = 1_500_000
LISTED_EXPERIMENTS = 20
SHOWN_POINTS = 30
PICTURE = re.compile(r"\]\(data:image/[a-z+]+;base64,[A-Za-z0-9+/=]*\)")
"""The address of a figure that is inside a Markdown file"""


@dataclass(frozen=True, slots=True)
class Image:
    """A PNG, as base64."""

    data: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole text of a tool, before it is cut, or an image."""

    content: str | Image
    path: str | None = None
    """Where a GET request to the service returns the same in full"""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a tool works with: the client of the caller's key, and the server's choices."""

    client: AsyncClient
    report_progress: ReportProgress
    confirm_above_seconds: float


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    title: str
    description: str
    arguments: type[given.Arguments]
    answer: Callable[[Desk, Any], Awaitable[Answer]]
    scopes: tuple[Scope, ...] = (Scope.READ,)
    """A key without one of them is not offered the tool"""
    is_destructive: bool = False

    @property
    def is_read_only(self) -> bool:
        return self.scopes == (Scope.READ,)


async def kinds(desk: Desk, _: given.NoArguments) -> Answer:
    found = [kind async for kind in desk.client.kinds()]
    lines = [
        f"{one.name}: {one.title}. {one.description} Plots: {', '.join(one.plots)}."
        for one in found
    ]
    lines.append("\n`describe` lists the fields of a kind's spec, with an example.")
    return Answer("\n".join(lines), "/kinds")


async def models(desk: Desk, args: given.ModelsArguments) -> Answer:
    if args.name is None:
        lines = [_model_line(one) async for one in desk.client.models()]
        return Answer("\n".join(lines), "/models")
    _require_finite(args.fields, "/fields")
    one = await desk.client.model(args.name, args.dataset, **_without_name(args.fields))
    layers = [
        f"  {layer.name}: {layer.kind}, {layer.parameters:,} parameters, output "
        f"{'x'.join(map(str, layer.output_shape))}"
        for layer in one.layers or ()
    ]
    lines = [_model_line(one), "layers, from the input:", *layers]
    return Answer("\n".join(lines), f"/models/{args.name}?dataset={args.dataset}")


def _model_line(one: ModelResource) -> str:
    size = "" if one.parameters is None else f"; {one.parameters:,} parameters on {one.dataset}"
    return f"{json.dumps(one.model)}: {one.title}{size}"


def _without_name(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as keyword arguments: `name` and `dataset` have arguments of their own."""
    for taken in ("name", "dataset"):
        if taken in fields:
            raise ToolFailure(f"/fields/{taken}: give it as the argument {taken}")
    return dict(fields)


async def presets(desk: Desk, args: given.PresetsArguments) -> Answer:
    if args.name is None:
        scales: dict[str, list[str]] = {}
        shown: dict[str, str] = {}
        async for one in desk.client.presets():
            scales.setdefault(one.name, []).append(one.scale)
            shown.setdefault(one.name, f"{one.kind}: {one.title}")
        lines = [f"{name} ({', '.join(scales[name])}) {text}" for name, text in shown.items()]
        return Answer("\n".join(lines), "/presets")
    preset = await desk.client.preset(args.name, scale=args.scale, reading=args.reading)
    path = f"/presets/{args.name}?scale={args.scale}"
    return Answer(short_json(preset), path + (f"&reading={args.reading}" if args.reading else ""))


async def describe(desk: Desk, args: given.DescribeArguments) -> Answer:
    kind = await desk.client.kind(args.kind)
    path = f"/kinds/{args.kind}"
    if args.field is not None:
        text = describe_field(kind.spec_schema, args.field)
        if text is None:
            known = ", ".join(kind.spec_schema.get("properties", {}))
            raise ToolFailure(f"/field: {args.kind} has no field {args.field!r}; known: {known}")
        if args.field == "data":
            names = [
                f"  {one.name}: {one.title}; {one.train_size:,} to train"
                async for one in desk.client.datasets()
            ]
            text += "\n\nnames of data sets:\n" + "\n".join(names)
        return Answer(text, path)
    parts = [
        f"{kind.name}: {kind.title}. {kind.description}",
        f"Plots: {', '.join(kind.plots)}.",
        "Fields of the spec: name: type = default (range) -- meaning. `field` shows one field with "
        "its variants.",
        describe_fields(kind.spec_schema),
        f"Example of a body:\n{json.dumps(kind.example)}",
    ]
    return Answer("\n\n".join(parts), path)


async def preview(desk: Desk, args: given.PreviewArguments) -> Answer:
    found = await desk.client.preview(await _body_of(desk, args))
    seconds = _price(found)
    head = (
        f"{len(found.points)} points, {found.num_seeds} seeds, {found.num_runs} runs; "
        f"{format_duration(seconds)} of one device in all ({_basis(found)})."
    )
    notes = []
    if found.reuses_experiment:
        notes.append(f"An identical experiment exists: {found.reuses_experiment}; `submit` returns")
        notes[-1] += " it and computes nothing."
    elif seconds > desk.confirm_above_seconds:
        notes.append(
            f"`submit` refuses above {format_duration(desk.confirm_above_seconds)} without "
            "confirm: true."
        )
    shown = [
        {
            "point": one.index,
            **one.values,
            "parameters": one.parameters,
            "seconds": one.seconds,
        }
        for one in found.points[:SHOWN_POINTS]
    ]
    rest = len(found.points) - len(shown)
    details = {
        "seconds": seconds,
        "seconds_without_confirm": desk.confirm_above_seconds,
        "memory_bytes": found.memory_bytes,
        "growth": found.growth,
        "warnings": found.warnings,
        "departures_from_the_paper": found.departures,
        "points": shown,
        "points_left_out": f"{rest}: POST /experiments/preview lists all" if rest else None,
    }
    return Answer("\n".join([head, *notes, short_json(details)]))


async def submit(desk: Desk, args: given.SubmitArguments) -> Answer:
    body = await _body_of(desk, args)
    found = await desk.client.preview(body)
    seconds = 0.0 if found.reuses_experiment else _price(found)
    if seconds > desk.confirm_above_seconds and not args.confirm:
        raise ToolFailure(
            f"/confirm: not submitted: it would take {format_duration(seconds)} of one device "
            f"({_basis(found)}, {found.num_runs} runs), more than "
            f"{format_duration(desk.confirm_above_seconds)}. Ask your user, then call submit again "
            "with confirm: true, or use fewer points, seeds or epochs."
        )
    key = args.idempotency_key
    if key is None and body.get("reuse") is False:
        text = json.dumps(body, sort_keys=True, ensure_ascii=False)
        key = f"mcp-{hashlib.sha256(text.encode()).hexdigest()[:40]}"
    experiment = await desk.client.submit(body, idempotency_key=key)
    notes = [
        f"{'An identical experiment exists' if experiment.reused else 'Submitted'}: "
        f"{experiment.id}, {experiment.status}. `wait` follows it."
    ]
    if experiment.terminal and key is not None and experiment.status != ExperimentStatus.SUCCEEDED:
        notes.append("This key was used before; another idempotency_key submits it again.")
    return Answer("\n".join([*notes, _describe_experiment(desk, experiment)]))


async def _body_of(desk: Desk, args: given.PreviewArguments) -> dict[str, Any]:
    """The body of the arguments. Raises ToolFailure for numbers that JSON does not have."""
    if args.preset is not None:
        found = await desk.client.preset(args.preset, scale=args.scale, reading=args.reading)
        return dict(found.body)
    assert args.body is not None
    _require_finite(args.body, "/body")
    return args.body


def _require_finite(value: Mapping[str, Any], pointer: str) -> None:
    found = find_not_finite(value, pointer)
    if found is not None:
        raise ToolFailure(f"{found}: not a finite number; JSON has no NaN and no infinity")


def _price(found: Preview) -> float:
    """Device seconds, of an experiment that adds seeds the most that it may take."""
    growth: PreviewGrowth | None = found.growth
    return found.seconds if growth is None else max(found.seconds, growth.seconds)


def _basis(found: Preview) -> str:
    return "measured on earlier runs" if found.basis == "measured" else "estimated by a model"


async def get(desk: Desk, args: given.GetArguments) -> Answer:
    if args.id is not None:
        experiment = await desk.client.get(args.id)
        return Answer(_describe_experiment(desk, experiment), f"/experiments/{args.id}")
    page = await desk.client.list(limit=LISTED_EXPERIMENTS)
    lines = [
        f"{one.id} {one.status} {one.kind} {one.created_at:%Y-%m-%d %H:%M} {one.title or ''}"
        for one in page.items
    ]
    lines.append(f"{len(page.items)} of {page.total} experiments, newest first")
    return Answer("\n".join(lines), "/experiments")


async def wait(desk: Desk, args: given.WaitArguments) -> Answer:
    """Looks again and again instead of reading the stream, which needs a connection of its own."""
    pause, longest = POLL_SECONDS
    deadline = anyio.current_time() + args.seconds
    while True:
        experiment = await desk.client.get(args.id)
        percent = 100 * experiment.progress.fraction
        await desk.report_progress(percent, 100.0, _status_line(experiment))
        left = deadline - anyio.current_time()
        if experiment.terminal or left <= 0:
            break
        await anyio.sleep(min(pause, left))
        pause = min(longest, pause * 1.5)
    text = _describe_experiment(desk, experiment)
    if not experiment.terminal:
        text += f"\nIt goes on: it did not end within {format_duration(args.seconds)}. "
        text += "Call wait again."
    return Answer(text, f"/experiments/{args.id}")


def _status_line(experiment: Experiment) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in experiment.counts.items() if count)
    eta = experiment.progress.eta_seconds
    return f"{experiment.status}: {counts}" + (
        "" if eta is None else f"; about {format_duration(eta)} left"
    )


def _describe_experiment(desk: Desk, experiment: Experiment) -> str:
    shown = {
        "id": experiment.id,
        "title": experiment.title,
        "kind": experiment.kind,
        "status": experiment.status,
        "terminal": experiment.terminal,
        "reused": experiment.reused or None,
        "progress_percent": 100 * experiment.progress.fraction,
        "eta_seconds": experiment.progress.eta_seconds,
        "runs": {name: count for name, count in experiment.counts.items() if count},
        "queue": None if experiment.terminal else experiment.queue.reason,
        "reason": experiment.reason,
        "detail": experiment.detail,
        "outcomes": experiment.outcomes,
        "sweep": experiment.sweep,
        "seeds": experiment.seeds[:SHOWN_POINTS],
        "num_points": experiment.num_points,
        "labels": experiment.labels,
        "page": f"{desk.client.url}/view/{experiment.id}",
    }
    return short_json(shown)


async def result(desk: Desk, args: given.ResultArguments) -> Answer:
    path = f"/experiments/{args.id}/result"
    if args.format == "json":
        found = await desk.client.result(args.id)
        return Answer(await anyio.to_thread.run_sync(short_json, found), path)
    text = await desk.client.result_text(args.id, args.format)
    return Answer(text, f"{path}.{'md' if args.format == 'markdown' else 'csv'}")


async def metrics(desk: Desk, args: given.MetricsArguments) -> Answer:
    found = (
        await desk.client.metrics(args.id, names=args.names, points=args.points)
        if args.by_seed
        else await desk.client.metrics(
            args.id, names=args.names, points=args.points, aggregate=True
        )
    )
    text = await anyio.to_thread.run_sync(_metric_lines, found)
    query = f"points={args.points}" + ("" if args.by_seed else "&aggregate=true")
    return Answer(text, f"/experiments/{args.id}/metrics?{query}")


def _metric_lines(found: MetricTable) -> str:
    if not found.items:
        return "no values yet, or no such names"
    columns = found.to_columns()
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(_cell, row)) for row in rows)])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


async def comparison(desk: Desk, args: given.ComparisonArguments) -> Answer:
    found = await desk.client.comparison(args.id)
    path = f"/experiments/{args.id}/comparison"
    if args.claim is not None:
        chosen = [one for one in found.verdicts if one.claim == args.claim]
        if not chosen:
            known = ", ".join(str(one.claim) for one in found.verdicts) or "none"
            raise ToolFailure(f"/claim: no verdict on claim {args.claim}; judged: {known}")
        return Answer(short_json(chosen), path)
    shown = {
        "complete": found.complete,
        "note": found.note,
        **({"own_verdicts": found.own_verdicts} if found.own_verdicts else {}),
        "verdicts": [_describe_verdict(one) for one in found.verdicts],
        "published": found.published,
        "departures_from_the_paper": found.departures,
        "choices_where_the_paper_is_silent": found.choices,
    }
    return Answer(short_json(shown), path)


def _describe_verdict(verdict: Verdict) -> Mapping[str, Any]:
    names = ("claim", "statement", "verdict", "sentence", "value", "interval", "n", "confidence")
    more = ("decided_by", "scale", "reading", "point", "departures")
    return {name: getattr(verdict, name) for name in (*names, *more)}


async def difference(desk: Desk, args: given.DifferenceArguments) -> Answer:
    found = await desk.client.difference(args.id, args.point, baseline=args.baseline)
    query = f"point={args.point}&baseline={args.baseline}"
    return Answer(short_json(found), f"/experiments/{args.id}/difference?{query}")


async def plot(desk: Desk, args: given.PlotArguments) -> Answer:
    path = f"/experiments/{args.id}/plots"
    if args.name is None:
        found = await desk.client.plots(args.id)
        lines = [_describe_plot(one) for one in found if one.applies]
        lines += [f"does not apply: {one.name}: {one.reason}" for one in found if not one.applies]
        return Answer("\n".join(lines), path)
    path = f"{path}/{args.name}.png?width={args.width}"
    chosen = {} if args.quantity is None else {"quantity": args.quantity}
    path += "".join(f"&{name}={value}" for name, value in chosen.items())
    image = await desk.client.plot(args.id, args.name, "png", width=args.width, **chosen)
    if len(image) > MAX_IMAGE_BYTES:
        raise ToolFailure(f"the image has {len(image):,} bytes; GET {desk.client.url}{path}")
    return Answer(Image(base64.b64encode(image).decode("ascii")), path)


def _describe_plot(one: Plot) -> str:
    choices = ", ".join(quantity.name for quantity in one.quantities)
    more = f" quantity: {choices}." if choices else ""
    return f"{one.name}: {one.title}. {one.description}{more}"


async def report(desk: Desk, args: given.ReportArguments) -> Answer:
    """Figures are named and left out: as text, one has more characters than an answer may have."""
    written = await desk.client.report(args.id, *args.also, report_format="md")
    text = await anyio.to_thread.run_sync(_without_pictures, written)
    query = "&".join(f"also={one}" for one in args.also)
    return Answer(text, f"/experiments/{args.id}/report.md" + (f"?{query}" if query else ""))


def _without_pictures(written: bytes) -> str:
    return PICTURE.sub("] (`plot` draws it)", written.decode())


async def cancel(desk: Desk, args: given.OneArguments) -> Answer:
    return Answer(_describe_experiment(desk, await desk.client.cancel(args.id)))


TOOLS: Sequence[Tool] = (
    Tool(
        "kinds",
        "Kinds of experiment",
        "The kinds of experiment: the question of each, and its plots.",
        given.NoArguments,
        kinds,
    ),
    Tool(
        "models",
        "Models",
        "The nets, or with a name one net with the layers that it has on a data set.",
        given.ModelsArguments,
        models,
    ),
    Tool(
        "presets",
        "Presets",
        "Experiments that are ready to submit: the figures and tables of the paper (fig2, table1) "
        "and a demo. With a name: its body, what it departs from the paper in, its plots.",
        given.PresetsArguments,
        presets,
    ),
    Tool(
        "describe",
        "Fields of a kind",
        "The fields of a kind's spec with type, default, range and meaning, and an example; or one "
        "field with its variants.",
        given.DescribeArguments,
        describe,
    ),
    Tool(
        "preview",
        "Preview",
        "What an experiment would do and cost, in seconds of one device: points, runs, warnings, "
        "departures from the paper, and every error of the body with a JSON pointer. Starts "
        "nothing.",
        given.PreviewArguments,
        preview,
    ),
    Tool(
        "submit",
        "Submit",
        "Submits an experiment, a body or a preset, and returns its id. The same experiment is not "
        "computed twice, so a repeated call is harmless. Refuses what would take more than "
        "{price} of one device without confirm: true; preview tells the price.",
        given.SubmitArguments,
        submit,
        scopes=(Scope.READ, Scope.SUBMIT),
    ),
    Tool(
        "get",
        "Status",
        "Status, progress and axes of an experiment, or the newest experiments.",
        given.GetArguments,
        get,
    ),
    Tool(
        "wait",
        "Wait",
        f"Waits until an experiment has ended, at most some seconds (up to "
        f"{given.MAX_WAIT_SECONDS}), and reports progress. Call it again until terminal is true.",
        given.WaitArguments,
        wait,
    ),
    Tool(
        "result",
        "Result",
        "The result of an experiment that has ended: for each point what answers the kind's "
        "question, with standard errors and n.",
        given.ResultArguments,
        result,
    ),
    Tool(
        "metrics",
        "Metrics",
        "Logged values by point and step as CSV, with few steps: losses, accuracies, times. Means "
        "over the seeds with intervals. Also while the experiment runs.",
        given.MetricsArguments,
        metrics,
    ),
    Tool(
        "comparison",
        "Claims of the paper",
        "Which claims of the paper, and of the submission itself (own_verdicts), hold in an "
        "experiment: a verdict (reproduced, not reproduced, "
        "inconclusive) for each claim that it can test, with sentence, interval, n, scale, "
        "departures. Report the sentence and the departures as they stand.",
        given.ComparisonArguments,
        comparison,
    ),
    Tool(
        "difference",
        "Difference of two points",
        "One point of an experiment minus another, paired by seed, with intervals.",
        given.DifferenceArguments,
        difference,
    ),
    Tool(
        "plot",
        "Plot",
        "A plot of an experiment as an image, or without a name the list of its plots.",
        given.PlotArguments,
        plot,
    ),
    Tool(
        "report",
        "Report",
        "A report of one experiment, or of several, as Markdown: question, answer, verdicts, "
        "tables, machine, how to run it again. Its figures are named; plot draws them.",
        given.ReportArguments,
        report,
    ),
    Tool(
        "cancel",
        "Cancel",
        "Cancels an experiment. What it has computed is kept.",
        given.OneArguments,
        cancel,
        scopes=(Scope.READ, Scope.CANCEL),
        is_destructive=True,
    ),
)
