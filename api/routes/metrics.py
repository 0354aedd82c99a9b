"""Metrics of an experiment or a run, as values or as statistics over seeds; JSON or CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Header, Query, Response
from pydantic_core import to_json

from api.dependencies import StateDep
from api.experiments.metric_tables import aggregate as aggregate_rows
from api.experiments.metric_tables import sample, to_csv
from api.http.negotiation import CSV, JSON, VARY, choose
from api.http.request_work import Router
from schemas.metrics import AggregatedMetrics, Metrics, MetricStatistic
from storage.experiments import find
from storage.results import metrics
from storage.results.metrics import MetricPoint
from storage.runs import resources as run_resources

router = Router(tags=["progress"])


Names = Annotated[
    list[str] | None,
    Query(max_length=32, description="Only these metrics; comma-separated or repeated."),
]
MaxSteps = Annotated[
    int | None,
    Query(alias="points", ge=2, le=100_000, description="At most this many steps per series."),
]
Aggregate = Annotated[
    bool, Query(description="Mean, standard error, 95 % interval and n over the seeds.")
]
Accept = Annotated[str | None, Header()]
Format = Annotated[
    Literal["json", "csv"] | None,
    Query(alias="format", description="Overrides the Accept header, for links."),
]
CSV_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}}
}


@router.get(
    "/experiments/{experiment_id}/metrics",
    response_model=Metrics | AggregatedMetrics,
    responses=CSV_RESPONSE,
)
def read_experiment_metrics(
    experiment_id: str,
    state: StateDep,
    response: Response,
    aggregate: Aggregate = False,
    names: Names = None,
    points: MaxSteps = None,
    accept: Accept = None,
    written_as: Format = None,
) -> Any:
    """Metrics by point, seed, name and step, or aggregated over the seeds.

    With `Accept: text/csv` or `format=csv`: the columns `point,seed,name,step,value`.
    """
    response.headers.update(VARY)
    with state.db.read() as session:
        find.get_experiment(session, experiment_id)
        rows = metrics.read_metrics(session, experiment_id=experiment_id, names=_split(names))
    return _respond(rows, aggregate, points, _wants_csv(written_as, accept))


@router.get(
    "/runs/{run_id}/metrics", response_model=Metrics | AggregatedMetrics, responses=CSV_RESPONSE
)
def read_run_metrics(
    run_id: str,
    state: StateDep,
    response: Response,
    aggregate: Aggregate = False,
    names: Names = None,
    points: MaxSteps = None,
    accept: Accept = None,
    written_as: Format = None,
) -> Any:
    """The metrics of one run."""
    response.headers.update(VARY)
    with state.db.read() as session:
        run_resources.get_run(session, run_id)
        rows = metrics.read_metrics(session, run_id=run_id, names=_split(names))
    return _respond(rows, aggregate, points, _wants_csv(written_as, accept))


def _split(names: list[str] | None) -> list[str] | None:
    return None if names is None else [name for entry in names for name in entry.split(",")]


def _wants_csv(written_as: str | None, accept: str | None) -> bool:
    return written_as == "csv" or (written_as is None and choose(accept, (JSON, CSV)) == CSV)


def _respond(
    rows: Sequence[MetricPoint], aggregate: bool, max_steps: int | None, as_csv: bool
) -> Any:
    rows, sampled = sample(rows, max_steps)
    if as_csv:
        headers = {"X-Sampled": str(sampled).lower(), **VARY}
        return Response(to_csv(rows), media_type=CSV, headers=headers)
    if not aggregate:
        # Serialised without models: one per value would take longer than everything else.
        written = to_json({"items": rows, "next_cursor": None, "sampled": sampled})
        return Response(written, media_type=JSON, headers=dict(VARY))
    return AggregatedMetrics(
        items=[
            MetricStatistic(point=point, name=name, step=step, statistic=statistic)
            for point, name, step, statistic in aggregate_rows(rows)
        ],
        sampled=sampled,
    )
