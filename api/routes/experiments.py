"""Experiments: submit, preview, list, compare, read, update, cancel, retry, extend, delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query, Response

from api.dependencies import StateDep
from api.experiments import changes, side_by_side
from api.experiments.extend import extend
from api.experiments.preview import preview
from api.experiments.show import show
from api.experiments.submit import submit
from api.http.json_body import BodyDep
from api.http.paging import ContainingQuery, CursorQuery, LabelQuery, LimitQuery, parse_label
from api.http.request_bodies import EXTENSION_BODY, SUBMISSION_BODY, UPDATE_BODY
from api.http.request_work import Router
from schemas.base import Page
from schemas.comparison import ExperimentComparison
from schemas.resources import Deletion, Experiment, Run
from schemas.status import ExperimentStatus
from schemas.submission import Preview
from storage.experiments import find
from storage.experiments.resources import to_resources
from storage.runs import resources as run_resources

router = Router(tags=["experiments"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="A repeated request with the same key and body returns the first response.",
    ),
]


@router.post(
    "/experiments",
    status_code=201,
    openapi_extra=SUBMISSION_BODY,
    responses={200: {"model": Experiment, "description": "An identical experiment, reused"}},
)
def submit_experiment(
    body: BodyDep, state: StateDep, response: Response, idempotency_key: IdempotencyKey = None
) -> Experiment:
    """Submit an experiment.

    201 with `Location` for a new experiment. 200 with `reused: true` where an identical one has
    succeeded or is under way and the body does not say `"reuse": false`.
    """
    experiment = submit(state, body, idempotency_key)
    response.status_code = 200 if experiment.reused else 201
    response.headers["Location"] = f"/experiments/{experiment.id}"
    return experiment


@router.post("/experiments/preview", openapi_extra=SUBMISSION_BODY)
def preview_experiment(body: BodyDep, state: StateDep) -> Preview:
    """Preview a submission: points, runs, cost, what would be reused, warnings. Starts nothing."""
    return preview(state, body)


@router.get("/experiments")
def list_experiments(
    state: StateDep,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
    kind: Annotated[str | None, Query(max_length=64)] = None,
    status: ExperimentStatus | None = None,
    label: LabelQuery = None,
    name: Annotated[str | None, Query(max_length=200)] = None,
    q: ContainingQuery = None,
) -> Page[Experiment]:
    """List experiments, newest first."""
    with state.db.read() as session:
        rows, following = find.list_experiments(
            session,
            limit=limit,
            cursor=cursor,
            kind=kind,
            status=status,
            label=parse_label(label),
            name=name,
            containing=q,
        )
        limit_per_owner = state.settings.limit_running_per_owner
        found = to_resources(session, rows, limit_per_owner=limit_per_owner)
        return Page[Experiment](items=found, next_cursor=following)


@router.get("/experiments/compare")
def compare_experiments(
    state: StateDep,
    id: Annotated[
        list[str],
        Query(min_length=2, max_length=side_by_side.MAX_COMPARED, description="Experiment ids."),
    ],
    quantity: Annotated[
        str | None, Query(max_length=100, description="Only this statistic of the results.")
    ] = None,
) -> ExperimentComparison:
    """Compare experiments side by side: the submitted fields and the results that differ.

    Each difference of results is to the first experiment, with its 95 % interval.
    404 for a quantity that no result holds.
    """
    with state.db.read() as session:
        return side_by_side.compare_experiments(session, id, quantity)


@router.get("/experiments/{experiment_id}")
def get_experiment(experiment_id: str, state: StateDep) -> Experiment:
    """One experiment with its status, progress and place in the queue."""
    with state.db.read() as session:
        return show(state, session, find.get_experiment(session, experiment_id))


@router.patch("/experiments/{experiment_id}", openapi_extra=UPDATE_BODY)
def update_experiment(experiment_id: str, body: BodyDep, state: StateDep) -> Experiment:
    """Update the name, labels or priority; absent fields stay as they are."""
    return changes.update(state, experiment_id, body)


@router.delete("/experiments/{experiment_id}")
def delete_experiment(experiment_id: str, state: StateDep, dry_run: bool = False) -> Deletion:
    """Delete a terminal experiment with its files; `dry_run` only counts the bytes."""
    return changes.delete(state, experiment_id, dry_run=dry_run)


@router.post("/experiments/{experiment_id}/cancel")
def cancel_experiment(experiment_id: str, state: StateDep) -> Experiment:
    """Cancel an experiment in any state that is not terminal; partial results stay."""
    return changes.cancel(state, experiment_id)


@router.post("/experiments/{experiment_id}/retry")
def retry_experiment(experiment_id: str, state: StateDep) -> Experiment:
    """Queue the failed runs again; they resume from their last checkpoint. 409 if none failed."""
    return changes.retry(state, experiment_id)


@router.post("/experiments/{experiment_id}/extend", openapi_extra=EXTENSION_BODY)
def extend_experiment(experiment_id: str, body: BodyDep, state: StateDep) -> Experiment:
    """Add seeds or values of swept fields; only the missing runs are computed."""
    return extend(state, experiment_id, body)


@router.get("/experiments/{experiment_id}/runs")
def list_runs(
    experiment_id: str, state: StateDep, limit: LimitQuery = 50, cursor: CursorQuery = None
) -> Page[Run]:
    """List the runs of an experiment in the order of their creation."""
    with state.db.read() as session:
        find.get_experiment(session, experiment_id)
        rows, following = run_resources.list_runs(
            session, experiment_id, limit=limit, cursor=cursor
        )
        return Page[Run](items=run_resources.run_resources(session, rows), next_cursor=following)
