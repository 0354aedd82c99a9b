"""Cancels, retries, deletes or labels many experiments, each in a transaction of its own.

Every action may be repeated: what is already done is left as it is, so that a request that was
interrupted can be sent again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import ValidationError

from api.dependencies import State
from api.experiments import changes
from api.http.json_body import parse_object
from api.http.paging import parse_label
from api.http.problems import ProblemRaised
from engine.errors import FieldError, InvalidSpec, field_errors
from engine.experiment_titles import make_title
from schemas.actions import (
    MAX_ACTED,
    ActedExperiment,
    ActionOutcome,
    ActionReport,
    ExperimentFilter,
    Labelling,
    Selection,
)
from schemas.problems import ProblemCode
from schemas.status import ExperimentStatus, RunStatus
from storage.database.tables import ExperimentRow
from storage.errors import InvalidTransition, NotFound, UnreadableRow
from storage.experiments.cancel import ALREADY_ENDED
from storage.experiments.find import get_experiment, require_not_imported
from storage.experiments.listing import Filter, count_experiments, list_ids
from storage.experiments.status import count_runs
from storage.experiments.update import merge_labels

Request = TypeVar("Request", bound=Selection)
Change = Callable[[State, ExperimentRow, bool], tuple[ActionOutcome, str, int]]
"""(state, experiment, dry run) → (outcome, detail, freed bytes)"""
DONE, UNCHANGED = ActionOutcome.DONE, ActionOutcome.UNCHANGED


def cancel_all(state: State, body: bytes) -> ActionReport:
    """Cancel the experiments that the body selects. Raises InvalidSpec and a problem over a limit.

    An experiment that cannot be cancelled is told in the report.
    """
    return _act(state, _parse(body, Selection), _cancel)


def retry_all(state: State, body: bytes) -> ActionReport:
    """Queue the failed runs of the experiments that the body selects again, as `cancel_all`."""
    return _act(state, _parse(body, Selection), _retry)


def delete_all(state: State, body: bytes) -> ActionReport:
    """Delete the terminal ones of the experiments that the body selects, as `cancel_all`."""
    return _act(state, _parse(body, Selection), _delete)


def label_all(state: State, body: bytes) -> ActionReport:
    """Add and remove labels of the experiments that the body selects, as `cancel_all`."""
    request = _parse(body, Labelling)

    def label(state: State, row: ExperimentRow, dry_run: bool) -> tuple[ActionOutcome, str, int]:
        return _label(state, row, request.labels, dry_run)

    return _act(state, request, label)


def _parse(body: bytes, model: type[Request]) -> Request:
    document = parse_object(body)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InvalidSpec(
            field_errors(error.errors(include_url=False), document, model=model)
        ) from None


def _act(state: State, request: Selection, change: Change) -> ActionReport:
    items = [
        _act_on(state, experiment_id, change, request.dry_run)
        for experiment_id in _select(state, request)
    ]
    counts = Counter(item.outcome for item in items)
    return ActionReport(
        dry_run=request.dry_run,
        items=items,
        counts={outcome: counts[outcome] for outcome in ActionOutcome},
        bytes=sum(item.bytes for item in items),
    )


def _select(state: State, request: Selection) -> list[str]:
    if request.ids is not None:
        return list(dict.fromkeys(request.ids))
    assert request.filter is not None
    matching = _filter_of(request.filter)
    with state.db.read() as session:
        ids = list_ids(session, matching, MAX_ACTED + 1)
        if len(ids) <= MAX_ACTED:
            return ids
        number = count_experiments(session, matching)
    detail = (
        f"{number:,} experiments match; the limit of one request is {MAX_ACTED}. Narrow the "
        "filter, or send their ids in several requests"
    )
    error = FieldError("#/filter", ProblemCode.LIMIT_EXCEEDED, detail)
    raise ProblemRaised(422, ProblemCode.LIMIT_EXCEEDED, detail, [error])


def _filter_of(given: ExperimentFilter) -> Filter:
    return Filter(given.kind, given.status, parse_label(given.label), given.name, given.q)


def _act_on(state: State, experiment_id: str, change: Change, dry_run: bool) -> ActedExperiment:
    title, status = None, None
    freed = 0
    try:
        with state.db.read() as session:
            row = get_experiment(session, experiment_id)
        status = row.status
        title = row.name or make_title(row.kind, row.readable("spec"), row.readable("sweep"))
        outcome, detail, freed = change(state, row, dry_run)
    except (NotFound, InvalidTransition, UnreadableRow) as error:
        outcome, detail = ActionOutcome.REFUSED, str(error)
    return ActedExperiment(
        id=experiment_id, title=title, status=status, outcome=outcome, detail=detail, bytes=freed
    )


def _cancel(state: State, row: ExperimentRow, dry_run: bool) -> tuple[ActionOutcome, str, int]:
    if row.status is ExperimentStatus.CANCELLED:
        return UNCHANGED, "is already cancelled", 0
    if row.status.is_terminal:
        raise InvalidTransition(ALREADY_ENDED.format(status=row.status))
    with state.db.read() as session:
        counts = count_runs(session, row.id)
    if not dry_run:
        changes.cancel(state, row.id)
    return DONE, f"{_describe_runs(counts)}; what runs have logged is kept", 0


def _retry(state: State, row: ExperimentRow, dry_run: bool) -> tuple[ActionOutcome, str, int]:
    require_not_imported(row)
    with state.db.read() as session:
        failed = count_runs(session, row.id).get(RunStatus.FAILED, 0)
    if not failed:
        return UNCHANGED, "none of its runs has failed", 0
    if not dry_run:
        try:
            changes.retry(state, row.id)
        except ProblemRaised as refused:  # over a quota
            return ActionOutcome.REFUSED, refused.detail, 0
    return DONE, f"{failed} failed run{'' if failed == 1 else 's'}", 0


def _describe_runs(counts: Mapping[RunStatus, int]) -> str:
    active = (RunStatus.RUNNING, RunStatus.QUEUED)
    found = [f"{counts[status]} {status}" for status in active if counts.get(status)]
    plural = "" if sum(counts.get(status, 0) for status in active) == 1 else "s"
    return f"{' and '.join(found) or 'no'} run{plural}"


def _delete(state: State, row: ExperimentRow, dry_run: bool) -> tuple[ActionOutcome, str, int]:
    deletion = changes.delete(state, row.id, dry_run=dry_run)
    runs = f"{deletion.runs} run{'' if deletion.runs == 1 else 's'}"
    return DONE, f"{runs}, {deletion.artifacts} stored files", deletion.bytes


def _label(
    state: State, row: ExperimentRow, labels: Mapping[str, str | None], dry_run: bool
) -> tuple[ActionOutcome, str, int]:
    before = row.labels
    after = merge_labels(before, labels)
    changed = [
        *(f"{key}: {value}" for key, value in after.items() if before.get(key) != value),
        *(f"without {key}" for key in before if key not in after),
    ]
    if not changed:
        return UNCHANGED, "has these labels already", 0
    if not dry_run:
        changes.relabel(state, row.id, labels)
    return DONE, ", ".join(changed), 0
