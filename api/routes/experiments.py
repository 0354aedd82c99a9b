"""Experiments: submit, preview, list, compare, read, update, cancel, retry, extend, delete."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Header, Query, Response

from api.dependencies import StateDep
from api.experiments import actions, changes, side_by_side
from api.experiments.difference_tables import (
    difference_numbers,
    spec_numbers,
    tabulate_differences,
    tabulate_specs,
)
from api.experiments.extend import extend
from api.experiments.listing import list_page
from api.experiments.preview import preview
from api.experiments.show import show
from api.experiments.submit import submit
from api.http.json_body import BodyDep
from api.http.paging import (
    ContainingQuery,
    CursorQuery,
    FieldsQuery,
    GroupQuery,
    IdsQuery,
    LabelQuery,
    LimitQuery,
    SortQuery,
    parse_label,
)
from api.http.request_bodies import (
    EXTENSION_BODY,
    LABELLING_BODY,
    SELECTION_BODY,
    SUBMISSION_BODY,
    UPDATE_BODY,
)
from api.http.request_work import Router
from api.http.written_tables import TABLE_RESPONSES, FormatPath, IfNoneMatch, respond_with_table
from engine.experiment_titles import title_of
from schemas.actions import ActionReport
from schemas.base import CountedPage, Page
from schemas.comparison import ExperimentComparison
from schemas.resources import Deletion, Experiment, Run
from schemas.status import ExperimentStatus
from schemas.submission import Preview
from storage.experiments import find
from storage.experiments.listing import Filter
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
    id: IdsQuery = None,
    sort: SortQuery = None,
    fields: FieldsQuery = None,
    group: GroupQuery = None,
) -> CountedPage[Experiment]:
    """List experiments, newest first or sorted by a column over all that match.

    A column is `name`, `kind`, `status`, `progress`, `points`, `seeds`, `priority`, `created`,
    `started`, `finished`, `duration`; a field of the spec by its path, such as `optimizer.lr`;
    `result.NAME` for a number of the result at the best point; or `label.KEY`. What has no value
    comes last. A swept field sorts by its first value.
    """
    matching = Filter(kind, status, parse_label(label), name, q, id)
    with state.db.read() as session:
        return list_page(
            state,
            session,
            limit=limit,
            cursor=cursor,
            matching=matching,
            sort=sort,
            columns=fields or (),
            group=group,
        )


ComparedIds = Annotated[
    list[str],
    Query(min_length=2, max_length=side_by_side.MAX_COMPARED, description="Experiment ids."),
]
ComparedQuantityName = Annotated[
    str | None, Query(max_length=100, description="Only this statistic of the results.")
]


@router.get("/experiments/compare")
def compare_experiments(
    state: StateDep,
    id: ComparedIds,
    quantity: ComparedQuantityName = None,
) -> ExperimentComparison:
    """Compare experiments side by side: the submitted fields and the results that differ.

    Each difference of results is to the first experiment, with its 95 % interval.
    404 for a quantity that no result holds.
    """
    with state.db.read() as session:
        return side_by_side.compare_experiments(session, id, quantity)


@router.post("/experiments/cancel", openapi_extra=SELECTION_BODY)
def cancel_experiments(body: BodyDep, state: StateDep) -> ActionReport:
    """Cancel many experiments, by ids or by a filter; `dry_run` only tells what would be done.

    Each is a transaction of its own, and one that has ended already is told and left as it is, so
    an interrupted request can be sent again.
    """
    return actions.cancel_all(state, body)


@router.post("/experiments/retry", openapi_extra=SELECTION_BODY)
def retry_experiments(body: BodyDep, state: StateDep) -> ActionReport:
    """Queue the failed runs of many experiments again, by ids or by a filter, as for cancel.

    An experiment without a failed run is told and left as it is.
    """
    return actions.retry_all(state, body)


@router.post("/experiments/delete", openapi_extra=SELECTION_BODY)
def delete_experiments(body: BodyDep, state: StateDep) -> ActionReport:
    """Delete many terminal experiments with their files, by ids or by a filter, as for cancel."""
    return actions.delete_all(state, body)


@router.post("/experiments/label", openapi_extra=LABELLING_BODY)
def label_experiments(body: BodyDep, state: StateDep) -> ActionReport:
    """Set and remove labels of many experiments, by ids or by a filter, as for cancel."""
    return actions.label_all(state, body)


@router.get("/experiments/compare.{format}", response_class=Response, responses=TABLE_RESPONSES)
def write_differences(
    state: StateDep,
    written_as: FormatPath,
    id: ComparedIds,
    quantity: ComparedQuantityName = None,
    table: Annotated[
        Literal["results", "spec"],
        Query(description="The results that differ, or the submitted fields."),
    ] = "results",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The comparison of experiments as CSV, LaTeX or Markdown.

    LaTeX and Markdown hold one quantity: without `quantity`, what answers the question of the first
    experiment's kind. CSV and JSON hold all of them then.
    """
    with state.db.read() as session:
        found = side_by_side.compare_experiments(session, id, quantity)
        rows = [find.get_experiment(session, one.id) for one in found.experiments]
    titles = [title_of(row.name, row.kind, row.spec, row.sweep) for row in rows]
    title = " / ".join(titles)
    if table == "spec":
        text, numbers = tabulate_specs(found, titles), spec_numbers(found, title)
    else:
        text = tabulate_differences(found, quantity or found.headline, titles)
        numbers = difference_numbers(found, title)
    return respond_with_table(text, numbers, written_as, if_none_match)


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
