"""From an experiment and what is to be added to it, to the points and runs that are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from api.experiments.plan import Plan, plan_runs, plan_submission
from api.http.problems import ProblemRaised
from engine.errors import FieldError, InvalidSpec, field_errors
from engine.spec import canonical_json
from engine.sweep import SweepPoint
from runtime.settings import Settings
from schemas.submission import Extension
from storage.access.ownership import restricted_to_owner
from storage.database.engine import Session
from storage.database.tables import ExperimentRow
from storage.experiments.create import PlannedPoint
from storage.experiments.find import get_experiment, require_not_imported
from storage.experiments.retry_extend import extend_experiment, list_planned
from storage.runs.placement import Needs


def extend(
    session: Session,
    settings: Settings,
    experiment_id: str,
    body: Mapping[str, Any],
    require_room: Callable[[ExperimentRow, int], None],
) -> tuple[ExperimentRow, list[Needs]]:
    """Add the seeds and values that the experiment has not, and only the runs that are missing.

    Points keep their index; new ones come behind. Returns the needs of the added runs; none where nothing is missing.
    `require_room` is asked whether the experiment may have so many runs more.
    """
    row = get_experiment(session, experiment_id)
    require_not_imported(row)
    added = _parse(body, row)
    plan = _plan_whole(session, settings, row, added)
    planned = list_planned(session, experiment_id)
    known = {canonical_json(values): (index, seeds) for index, values, seeds in planned}
    points: list[PlannedPoint] = []
    wanted: list[tuple[int, SweepPoint, list[int], int]] = []
    for point, whole, memory in zip(
        plan.points, plan.planned_points(), plan.memory_bytes, strict=True
    ):
        index, has = known.get(
            canonical_json(point.values), (len(planned) + len(points), set[int]())
        )
        if canonical_json(point.values) not in known:
            points.append(PlannedPoint(index, whole.values, whole.spec, whole.digest))
        wanted.append(
            (index, point, [seed for seed in plan.submission.seeds if seed not in has], memory)
        )
    runs = plan_runs(plan.submission, wanted)
    if not runs:
        return row, []
    require_room(row, len(runs))
    return extend_experiment(
        session,
        experiment_id,
        submission=plan.submission,
        digest=plan.digest,
        points=points,
        runs=runs,
    )


def _parse(body: Mapping[str, Any], row: ExperimentRow) -> Extension:
    try:
        added = Extension.model_validate(body)
    except ValidationError as error:
        raise InvalidSpec(field_errors(error.errors(include_url=False), body)) from None
    known = ", ".join(row.sweep) or "nothing"
    errors = [
        FieldError(
            f"#/sweep/{path}",
            "unknown-path",
            f"the experiment sweeps {known}; another axis is another one",
        )
        for path in added.sweep
        if path not in row.sweep
    ]
    if errors:
        raise InvalidSpec(errors)
    return added


def _plan_whole(session: Session, settings: Settings, row: ExperimentRow, added: Extension) -> Plan:
    """The experiment with what is added, planned as if submitted anew; errors point into the extension."""
    body = {
        "spec": row.spec,
        "sweep": {
            path: _join(values, added.sweep.get(path, [])) for path, values in row.sweep.items()
        },
        "seeds": _join(row.seeds, added.seeds),
        "execution": row.execution,
        "priority": row.priority,
        "keep": row.keep,
        "reuse": row.reuse,
    }
    offsets = {f"#/sweep/{path}/": len(values) for path, values in row.sweep.items()}
    try:
        with restricted_to_owner(session, row.owner):
            return plan_submission(session, settings, body)
    except InvalidSpec as invalid:
        raise InvalidSpec(_shift(error, offsets) for error in invalid.errors) from None
    except ProblemRaised as problem:
        problem.errors = tuple(_shift(error, offsets) for error in problem.errors)
        raise


def _join(old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    """`new` behind `old`, without what is there already."""
    seen = {canonical_json(value) for value in old}
    found = list(old)
    for value in new:
        if canonical_json(value) not in seen:
            seen.add(canonical_json(value))
            found.append(value)
    return found


def _shift(error: FieldError, offsets: Mapping[str, int]) -> FieldError:
    for prefix, offset in offsets.items():
        index, slash, rest = error.pointer.removeprefix(prefix).partition("/")
        if error.pointer.startswith(prefix) and index.isdigit() and int(index) >= offset:
            return replace(error, pointer=f"{prefix}{int(index) - offset}{slash}{rest}")
    return error
