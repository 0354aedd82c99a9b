"""From a body to a plan: what would run, what it costs, what is wrong with it; and the decision to reuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from api.problems import ProblemRaised
from engine.cost import Cost, CostLimits, can_stack, check, estimate
from engine.data.spec import BUILTIN_DATASETS, DatasetInfo, validate_data
from engine.errors import FieldError, InvalidSpec, field_errors
from engine.models.spec import validate_model
from engine.spec import Execution, sha256_of
from engine.sweep import SweepPoint, expand, num_points
from schemas.problems import ProblemCode
from schemas.submission import Preview, PreviewPoint, Submission
from storage.datasets import get_dataset, to_info
from storage.db import Session
from storage.experiments import PlannedPoint, PlannedRun, find_reusable
from storage.run_resources import count_queued
from storage.settings import Settings
from storage.workers import count_listening


@dataclass(frozen=True, slots=True)
class Plan:
    """A valid submission, expanded."""

    submission: Submission
    points: Sequence[SweepPoint]
    costs: Sequence[Cost]
    runs: Sequence[PlannedRun]
    digest: str

    def planned_points(self) -> list[PlannedPoint]:
        return [
            PlannedPoint(index, point.values, point.spec.model_dump(mode="json"), point.spec.digest())
            for index, point in enumerate(self.points)
        ]


def plan_submission(session: Session, settings: Settings, body: Mapping[str, Any]) -> Plan:
    """Expand and check everything, all errors at once. Raises InvalidSpec and problems; stores nothing."""
    submission, errors = _parse(body)
    sweep = body.get("sweep", {})
    if isinstance(sweep, Mapping) and all(isinstance(values, list) for values in sweep.values()):
        count = num_points(sweep)
        if count > settings.max_points:
            detail = f"the sweep has {count} points; the limit is {settings.max_points}"
            errors.append(FieldError("#/sweep", "plan-too-large", detail))
            raise ProblemRaised(422, ProblemCode.PLAN_TOO_LARGE, detail, errors)
    else:
        sweep = {}
    points: list[SweepPoint] = []
    try:
        points = expand(body.get("spec"), sweep)
    except InvalidSpec as invalid:
        errors += [error for error in invalid.errors if error not in errors]
    infos = {point.spec.data.name: find_info(session, point.spec.data.name) for point in points}
    errors += _check_points(points, infos)
    if errors or submission is None:
        raise InvalidSpec(dict.fromkeys(errors))
    runs = _plan_runs(submission, points)
    if len(runs) > settings.max_runs:
        detail = f"the experiment has {len(runs)} runs; the limit is {settings.max_runs}"
        raise ProblemRaised(
            422, ProblemCode.PLAN_TOO_LARGE, detail, [FieldError("#/seeds", "plan-too-large", detail)]
        )
    costs = _price(submission, points, infos, runs)
    _check_costs(costs, settings)
    digest = sha256_of(
        {
            "points": [point.spec.digest() for point in points],
            "values": [list(point.values) for point in points],
            "seeds": submission.seeds,
            "execution": submission.execution.model_dump(mode="json"),
        }
    )
    return Plan(submission, points, costs, runs, digest)


def require_room(session: Session, settings: Settings, plan: Plan) -> None:
    """Refuse what the queue does not take any more, with the time after which to try again."""
    queued = count_queued(session)
    if queued + len(plan.runs) > settings.max_queued_runs:
        detail = f"{queued} runs wait and this adds {len(plan.runs)}; the limit is {settings.max_queued_runs}"
        raise ProblemRaised(429, ProblemCode.LIMIT_EXCEEDED, detail, headers={"Retry-After": "60"})


def preview(session: Session, plan: Plan) -> Preview:
    """What the plan would do."""
    reusable = find_reusable(session, plan.digest) if plan.submission.reuse else None
    points = [
        PreviewPoint(
            index=index,
            values=point.values,
            spec=point.spec.model_dump(mode="json"),
            digest=point.spec.digest(),
            parameters=cost.parameters,
            flops=float(cost.flops),
            memory_bytes=cost.memory_bytes,
            seconds=cost.seconds,
            basis=cost.basis,
            reused_seeds=plan.submission.seeds if reusable else [],
        )
        for index, (point, cost) in enumerate(zip(plan.points, plan.costs, strict=True))
    ]
    return Preview(
        points=points,
        num_runs=len(plan.runs),
        num_seeds=len(plan.submission.seeds),
        parameters=max(cost.parameters for cost in plan.costs),
        flops=float(sum(cost.flops for cost in plan.costs)),
        memory_bytes=max(cost.memory_bytes for cost in plan.costs),
        seconds=sum(cost.seconds for cost in plan.costs),
        basis="measured" if all(cost.basis == "measured" for cost in plan.costs) else "model",
        reuses_experiment=reusable.id if reusable else None,
        warnings=_warnings(session, plan),
    )


def find_info(session: Session, name: str) -> DatasetInfo | None:
    """What is known of a data set without loading it; None for one that is neither built in nor registered."""
    if name in BUILTIN_DATASETS:
        return BUILTIN_DATASETS[name]
    row = get_dataset(session, name)
    return to_info(row) if row else None


def _parse(body: Mapping[str, Any]) -> tuple[Submission | None, list[FieldError]]:
    try:
        return Submission.model_validate(body), []
    except ValidationError as error:
        return None, field_errors(error.errors(include_url=False), body)


def _check_points(points: Sequence[SweepPoint], infos: Mapping[str, DatasetInfo | None]) -> list[FieldError]:
    errors: list[FieldError] = []
    for point in points:
        spec, info = point.spec, infos[point.spec.data.name]
        if info is None:
            known = ", ".join(BUILTIN_DATASETS)
            errors.append(
                FieldError(
                    "#/spec/data/name",
                    "dataset-unavailable",
                    f"there is no data set {spec.data.name!r}; built in are {known}; others are registered by POST /datasets",
                )
            )
            continue
        errors += validate_data(spec.data, info)
        errors += validate_model(spec.model, spec.init, info)
    return errors


def seeds_per_run(plan_size: int, point: SweepPoint, execution: Execution) -> int:
    """How many seeds one run holds: `auto` keeps the seeds of a stacked net together and gives each other its own."""
    if execution.seeds_per_run == "auto":
        return plan_size if can_stack(point.spec, execution) else 1
    return execution.seeds_per_run


def _plan_runs(submission: Submission, points: Sequence[SweepPoint]) -> list[PlannedRun]:
    queue = {"auto": "any", "cpu": "cpu", "cuda": "gpu"}[submission.execution.device]
    runs = []
    for index, point in enumerate(points):
        size = seeds_per_run(len(submission.seeds), point, submission.execution)
        for start in range(0, len(submission.seeds), size):
            runs.append(PlannedRun(index, tuple(submission.seeds[start : start + size]), queue))  # noqa: PERF401
    return runs


def _price(
    submission: Submission,
    points: Sequence[SweepPoint],
    infos: Mapping[str, DatasetInfo | None],
    runs: Sequence[PlannedRun],
) -> list[Cost]:
    costs = []
    for point in points:
        info = infos[point.spec.data.name]
        assert info is not None
        costs.append(estimate(point.spec, len(submission.seeds), info, execution=submission.execution))
    return costs


def _check_costs(costs: Sequence[Cost], settings: Settings) -> None:
    limits = CostLimits(
        max_parameters=settings.max_parameters,
        max_memory_bytes=settings.max_memory_bytes,
        max_flops=int(settings.max_flops),
        max_disk_bytes=None,
    )
    errors = list(dict.fromkeys(error for cost in costs for error in check(cost, limits)))
    if errors:
        raise ProblemRaised(422, ProblemCode.LIMIT_EXCEEDED, errors[0].detail, errors)


def _warnings(session: Session, plan: Plan) -> list[str]:
    found = []
    if not sum(count_listening(session).values()):
        found.append("no worker listens: the runs wait until one does")
    if len(plan.submission.seeds) < 3:
        found.append(f"{len(plan.submission.seeds)} seed(s): fewer than 3 carry no statistics")
    if any(point.spec.optimizer.name == "adam" and point.spec.optimizer.lr >= 0.05 for point in plan.points):
        found.append("Adam at a learning rate of 0.05 or more is known to leave deep nets at chance")
    return found
