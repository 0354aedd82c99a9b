"""What happens and what has been measured: events (JSON and SSE), metrics, the result."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.problems import ProblemRaised
from api.state import State, StateDep
from engine.analysis.stats import summarize
from engine.errors import FieldError
from engine.result import Statistic
from schemas.base import Page, Resource
from schemas.events import Event
from schemas.problems import ProblemCode
from storage import events, experiments, metrics, run_resources

router = APIRouter(tags=["progress"])

POLL_SECONDS = 0.25
COMMENT_SECONDS = 15.0
STREAM_PAGE = 500
Accept = Annotated[str | None, Header()]


class MetricValue(Resource):
    point: int
    seed: int
    name: str
    step: int
    value: float | None


class MetricStatistic(Resource):
    point: int
    name: str
    step: int
    statistic: Statistic


class Metrics(Page[MetricValue]):
    sampled: bool = False
    """Whether steps were left out to keep `points` a series."""


class AggregatedMetrics(Page[MetricStatistic]):
    sampled: bool = False


@router.get(
    "/experiments/{experiment_id}/events",
    response_model=Page[Event],
    responses={200: {"content": {"text/event-stream": {}}}},
)
def list_events(
    experiment_id: str,
    state: StateDep,
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only events behind this sequence.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    accept: Accept = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Any:
    """The event log: a JSON page, or with `Accept: text/event-stream` a stream that resumes behind `Last-Event-ID`
    and closes with `event: end`."""
    with state.db.read() as session:
        experiments.get_experiment(session, experiment_id)
        if accept is None or "text/event-stream" not in accept:
            found = events.list_events(session, experiment_id, after, limit)
            following = str(found[-1].sequence) if len(found) == limit else None
            return Page[Event](items=found, next_cursor=following)
    if last_event_id is not None:
        if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 10):
            raise ProblemRaised(
                422,
                ProblemCode.INVALID_REQUEST,
                "Last-Event-ID is not a sequence number",
                [
                    FieldError(
                        "#/header/last-event-id", "int_parsing", "must be the id of an event of this stream"
                    )
                ],
            )
        after = int(last_event_id)
    if not state.streams.acquire(blocking=False):
        raise ProblemRaised(
            503, ProblemCode.UNAVAILABLE, "too many event streams are open", headers={"Retry-After": "10"}
        )
    return StreamingResponse(
        _stream(state, experiment_id, after),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(state: State, experiment_id: str, after: int) -> AsyncIterator[str]:
    try:
        silent = 0.0
        yield ": open\n\n"
        while not state.closing.is_set():
            page, terminal = await run_in_threadpool(_read_on, state, experiment_id, after)
            for event in page:
                after = event.sequence
                yield f"id: {event.sequence}\nevent: {event.name}\ndata: {event.model_dump_json()}\n\n"
            if page:
                silent = 0.0
                continue
            if terminal:
                yield f'event: end\ndata: {{"sequence": {after}}}\n\n'
                return
            await asyncio.sleep(POLL_SECONDS)
            silent += POLL_SECONDS
            if silent >= COMMENT_SECONDS:
                silent = 0.0
                yield ": still here\n\n"
    finally:
        state.streams.release()


def _read_on(state: State, experiment_id: str, after: int) -> tuple[list[Event], bool]:
    """The status is read first: an event that came with the last move is then on this page or the next."""
    with state.db.read() as session:
        row = experiments.get_experiment(session, experiment_id)
        return events.list_events(session, experiment_id, after, STREAM_PAGE), row.status.is_terminal


Names = Annotated[
    list[str] | None, Query(max_length=32, description="Only these metrics; comma-separated or repeated.")
]
MaxPoints = Annotated[
    int | None, Query(alias="points", ge=2, le=100_000, description="At most so many steps a series.")
]


@router.get(
    "/experiments/{experiment_id}/metrics",
    response_model=Metrics | AggregatedMetrics,
    responses={200: {"content": {"text/csv": {}}}},
)
def read_experiment_metrics(
    experiment_id: str,
    state: StateDep,
    aggregate: bool = False,
    names: Names = None,
    points: MaxPoints = None,
    accept: Accept = None,
) -> Any:
    """Metrics by point, seed, name and step, or with `aggregate` their statistics over seeds; JSON, or CSV by Accept."""
    with state.db.read() as session:
        experiments.get_experiment(session, experiment_id)
        rows = metrics.read_metrics(session, experiment_id=experiment_id, names=_split(names))
    return _answer(rows, aggregate, points, accept)


@router.get(
    "/runs/{run_id}/metrics",
    response_model=Metrics | AggregatedMetrics,
    responses={200: {"content": {"text/csv": {}}}},
)
def read_run_metrics(
    run_id: str,
    state: StateDep,
    aggregate: bool = False,
    names: Names = None,
    points: MaxPoints = None,
    accept: Accept = None,
) -> Any:
    """The metrics of one run."""
    with state.db.read() as session:
        run_resources.get_run(session, run_id)
        rows = metrics.read_metrics(session, run_id=run_id, names=_split(names))
    return _answer(rows, aggregate, points, accept)


def _split(names: list[str] | None) -> list[str] | None:
    return None if names is None else [name for entry in names for name in entry.split(",")]


def _answer(rows: list[metrics.MetricPoint], aggregate: bool, points: int | None, accept: str | None) -> Any:
    rows, sampled = _sample(rows, points)
    if accept is not None and "text/csv" in accept:
        return Response(metrics_csv(rows), media_type="text/csv")
    if not aggregate:
        items = [
            MetricValue.model_construct(point=r.point, seed=r.seed, name=r.name, step=r.step, value=r.value)
            for r in rows
        ]
        return Metrics(items=items, sampled=sampled)
    groups: dict[tuple[int, str, int], list[float]] = {}
    for row in rows:
        if row.value is not None:
            groups.setdefault((row.point, row.name, row.step), []).append(row.value)
    return AggregatedMetrics(
        items=[
            MetricStatistic(point=point, name=name, step=step, statistic=summarize(values))
            for (point, name, step), values in sorted(groups.items())
        ],
        sampled=sampled,
    )


def _sample(rows: list[metrics.MetricPoint], points: int | None) -> tuple[list[metrics.MetricPoint], bool]:
    """Keep evenly spread steps of each metric, the first and the last among them; the same for all seeds."""
    if points is None:
        return rows, False
    steps: dict[str, set[int]] = {}
    for row in rows:
        steps.setdefault(row.name, set()).add(row.step)
    kept = {}
    for name, found in steps.items():
        ordered = sorted(found)
        chosen = {round(index * (len(ordered) - 1) / (points - 1)) for index in range(points)}
        kept[name] = set(ordered) if len(ordered) <= points else {ordered[index] for index in chosen}
    sampled = any(len(kept[name]) < len(found) for name, found in steps.items())
    return [row for row in rows if row.step in kept[row.name]], sampled


def metrics_csv(rows: list[metrics.MetricPoint]) -> str:
    """Columns point, seed, name, step, value: equal trainings give equal text."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["point", "seed", "name", "step", "value"])
    for row in rows:
        writer.writerow(
            [row.point, row.seed, row.name, row.step, "" if row.value is None else repr(row.value)]
        )
    return stream.getvalue()


class Result(Resource):
    kind: str
    points: list[dict[str, Any]]
    seeds: int
    reused: list[str]


@router.get("/experiments/{experiment_id}/result")
def read_result(experiment_id: str, state: StateDep) -> Result:
    """The kind's summary over seeds; 409 while there is none."""
    with state.db.read() as session:
        row = experiments.get_experiment(session, experiment_id)
        if row.summary is None:
            raise ProblemRaised(
                409,
                ProblemCode.NOT_READY,
                f"the experiment is {row.status}; its result is made when its last run ends",
                headers={"Retry-After": "2"},
            )
        return Result.model_validate(row.summary)
