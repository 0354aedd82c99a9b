"""Extends an experiment by seeds and sweep values; only the missing runs are added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from api.dependencies import State
from api.experiments.body import submission_body
from api.experiments.described_nets import with_described_nets
from api.experiments.plan import Plan, plan_submission
from api.experiments.plan_runs import RunCost, plan_runs
from api.experiments.quotas import require_quota
from api.experiments.show import show
from api.http.json_body import parse_object
from api.http.problems import ProblemRaised
from engine.errors import FieldError, InvalidSpec, field_errors
from engine.spec import canonical_json
from engine.sweep import SweepPoint
from schemas.audit import Action
from schemas.resources import Experiment
from schemas.seed_plan import MAX_SEEDS
from schemas.submission import Extension
from storage.access.audit import record
from storage.access.ownership import restricted_to_owner
from storage.database.engine import Session
from storage.database.tables import ExperimentRow
from storage.experiments.create import PlannedPoint, PlannedRun
from storage.experiments.find import get_experiment, require_not_imported
from storage.experiments.locks import lock_experiment, lock_queue
from storage.experiments.retry_extend import extend_experiment, list_planned
from storage.files.in_use import hold_files, require_same_data
from storage.runs.placement import Needs


def extend(state: State, experiment_id: str, body: bytes) -> Experiment:
    """Add the seeds and values that the experiment lacks, and wake workers for the missing runs.

    Raises NotFound, InvalidSpec with pointers into the extension, InvalidTransition, and a problem
    over a limit or quota.
    """
    document = parse_object(body)
    # Planning takes the longest. It is done before the write transaction, which others wait for.

    def plan_it() -> tuple[ExperimentRow, Plan]:
        with state.db.read() as session:
            row = get_experiment(session, experiment_id)
            return row, _plan_extended(state, session, row, document)

    before, plan = with_described_nets(state, plan_it)
    with state.db.write() as session:
        lock_queue(session)
        row = lock_experiment(session, experiment_id)
        # Another extension came first, or the experiment added seeds by itself.
        if (row.digest, row.seeds) != (before.digest, before.seeds):
            plan = _plan_extended(state, session, row, document)
        points, runs, shared = _find_missing(session, experiment_id, plan)
        needs: list[Needs] = []
        if runs:
            with restricted_to_owner(session, row.owner):
                hold_files(session, plan.files.used)
            require_same_data(row, plan.files.used.datasets)
            require_quota(state, session, row, num_runs=len(runs))
            row, needs = extend_experiment(
                session,
                experiment_id,
                submission=plan.submission,
                seeds=plan.seeds,
                digest=plan.digest,
                points=points,
                runs=runs,
                shared_checkpoints=shared,
            )
            record(session, Action.EXTENDED, experiment_id)
        experiment = show(state, session, row)
    state.wake_ups.send(needs)
    return experiment


def _parse(document: Mapping[str, Any], row: ExperimentRow) -> Extension:
    try:
        added = Extension.model_validate(document)
    except ValidationError as error:
        found = field_errors(error.errors(include_url=False), document, model=Extension)
        raise InvalidSpec(found) from None
    swept = ", ".join(row.sweep) or "nothing"
    errors = [
        FieldError(
            f"#/sweep/{path}",
            "unknown-path",
            f"the experiment sweeps {swept}; submit a new experiment to sweep another field",
        )
        for path in added.sweep
        if path not in row.sweep
    ]
    errors += _check_order(added, row)
    if errors:
        raise InvalidSpec(errors)
    return added


def _check_order(added: Extension, row: ExperimentRow) -> list[FieldError]:
    """Claims name points by index, so new points must come after the old ones in the sweep."""
    first = next(iter(row.sweep), None)
    return [
        FieldError(
            f"#/sweep/{path}",
            "claims-by-index",
            f"the experiment has claims, which name points by index; only {first}, its first swept "
            "field, takes more values; submit a new experiment, which loads these trainings",
        )
        for path in added.sweep
        if row.claims and path in row.sweep and path != first
    ]


def _plan_extended(
    state: State, session: Session, row: ExperimentRow, document: Mapping[str, Any]
) -> Plan:
    """Plan the experiment and the extension as one new submission.

    Pointers of errors lead into the extension.
    """
    require_not_imported(row)
    added = _parse(document, row)
    sweep = {path: _append_new(old, added.sweep.get(path, ())) for path, old in row.sweep.items()}
    seeds = _append_new(row.seeds, added.seeds)
    body = {**submission_body(row), "sweep": sweep, "reuse": row.reuse}
    extended = None if row.seed_plan is None else seeds
    if extended is None:
        body["seeds"] = seeds
    elif len(extended) > MAX_SEEDS:
        detail = f"the experiment would have {len(extended):,} seeds; the limit is {MAX_SEEDS:,}"
        raise InvalidSpec.single("#/seeds", "too_long", detail)
    offsets = {f"#/sweep/{path}/": len(values) for path, values in row.sweep.items()}
    try:
        with restricted_to_owner(session, row.owner):
            return plan_submission(session, state.settings, state.blobs, body, extended)
    except InvalidSpec as invalid:
        raise InvalidSpec(_shift(error, offsets) for error in invalid.errors) from None
    except ProblemRaised as problem:
        problem.errors = tuple(_shift(error, offsets) for error in problem.errors)
        raise


def _find_missing(
    session: Session, experiment_id: str, plan: Plan
) -> tuple[list[PlannedPoint], list[PlannedRun], dict[int, Mapping[str, Any]]]:
    """The points and runs that are not stored yet. Stored points keep their index.

    Also, by index of all points, what trainings that they share keep from now on.
    """
    stored = list_planned(session, experiment_id)
    known = {canonical_json(values): (index, seeds) for index, values, seeds in stored}
    points: list[PlannedPoint] = []
    missing: list[tuple[int, SweepPoint, Sequence[int], RunCost]] = []
    shared: dict[int, Mapping[str, Any]] = {}
    for point, planned, cost in zip(plan.points, plan.planned_points(), plan.costs, strict=True):
        key = canonical_json(point.values)
        if key not in known:
            known[key] = (len(stored) + len(points), set())
            points.append(replace(planned, index=known[key][0]))
        index, seeds = known[key]
        if planned.shared_checkpoints is not None:
            shared[index] = planned.shared_checkpoints
        new_seeds = [seed for seed in plan.seeds if seed not in seeds]
        missing.append((index, point, new_seeds, cost))
    return points, plan_runs(session, plan.submission, missing, plan.shared), shared


def _append_new(old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    """`old`, then the values of `new` that are not in it."""
    seen = {canonical_json(value) for value in old}
    found = list(old)
    for value in new:
        if canonical_json(value) not in seen:
            seen.add(canonical_json(value))
            found.append(value)
    return found


def _shift(error: FieldError, offsets: Mapping[str, int]) -> FieldError:
    """The error with an index into the whole sweep turned into one into the extension's values."""
    for prefix, offset in offsets.items():
        index, slash, rest = error.pointer.removeprefix(prefix).partition("/")
        if error.pointer.startswith(prefix) and index.isdigit() and int(index) >= offset:
            return replace(error, pointer=f"{prefix}{int(index) - offset}{slash}{rest}")
    return error
