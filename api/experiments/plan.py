"""Plans a submission: validates it, expands its points and runs, and checks their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from api.experiments.check_webhook import check_webhook
from api.http.problems import ProblemRaised
from engine.cost import CostLimits, check, estimate
from engine.data.spec import BUILTIN_DATASETS, DatasetInfo, validate_data
from engine.errors import FieldError, InvalidSpec, field_errors
from engine.experiments.registry import parse_spec
from engine.models.layout import layout
from engine.models.spec import CheckpointSpec, validate_model
from engine.spec import Execution, ExperimentSpec, sha256_of
from engine.sweep import SweepPoint, expand, num_points
from runtime.settings import Settings
from schemas.problems import ProblemCode
from schemas.submission import Submission
from storage.database.engine import Session
from storage.errors import NotFound
from storage.experiments.create import PlannedPoint, PlannedRun
from storage.files.datasets import get_dataset, list_datasets, to_info
from storage.files.weights import find_weights_blob, get_weights
from storage.runs.placement import Needs, format_labels, round_up

DEVICE_CLASSES = {"auto": "any", "cpu": "cpu", "cuda": "gpu"}
MAX_ERRORS = 100
"""Errors listed in one response: a sweep repeats an error at every point."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A valid submission, expanded."""

    submission: Submission
    base: Mapping[str, Any]
    """The spec before the sweep, with every default filled in."""
    points: Sequence[SweepPoint]
    infos: Mapping[str, DatasetInfo]
    memory_bytes: Sequence[int]
    """Estimated memory of a run of each point."""
    runs: Sequence[PlannedRun]
    point_digests: Sequence[str]
    digest: str

    def planned_points(self) -> list[PlannedPoint]:
        return [
            PlannedPoint(index, point.values, point.spec.model_dump(mode="json"), digest)
            for index, (point, digest) in enumerate(
                zip(self.points, self.point_digests, strict=True)
            )
        ]

    @property
    def needs(self) -> list[Needs]:
        """What each run needs of a worker."""
        return [run.needs for run in self.runs]

    def info_of(self, point: SweepPoint) -> DatasetInfo:
        return self.infos[point.spec.data.name]


def plan_submission(session: Session, settings: Settings, body: Mapping[str, Any]) -> Plan:
    """Expand and check a submission; stores nothing.

    Raises InvalidSpec and problems, each with all errors that it could find.
    """
    submission, errors = _parse(body)
    sweep = _read_sweep(body)
    _limit_points(sweep, settings, errors)
    points: list[SweepPoint] = []
    try:
        points = expand(body.get("spec"), sweep)
    except InvalidSpec as invalid:
        errors += invalid.errors
    infos = _find_datasets(session, points)
    errors += [
        point.locate(error) for point in points for error in _check_point(session, point, infos)
    ]
    if submission is not None and submission.webhook is not None:
        errors += check_webhook(submission.webhook, settings)
    if errors or submission is None:
        raise InvalidSpec(list(dict.fromkeys(errors))[:MAX_ERRORS])
    num_runs = sum(
        -(-len(submission.seeds) // seeds_per_run(point, submission)) for point in points
    )
    if num_runs > settings.max_runs:
        _refuse_plan(
            "#/seeds",
            f"the experiment has {num_runs:,} runs; the limit is {settings.max_runs:,}",
            [],
        )
    found = {name: info for name, info in infos.items() if info is not None}
    memory = _check_costs(submission, points, found, settings)
    digests = [point.spec.digest() for point in points]
    return Plan(
        submission=submission,
        base=parse_spec(body["spec"]).model_dump(mode="json"),
        points=points,
        infos=found,
        memory_bytes=memory,
        runs=plan_runs(
            submission,
            [
                (index, point, submission.seeds, needed)
                for index, (point, needed) in enumerate(zip(points, memory, strict=True))
            ],
        ),
        point_digests=digests,
        digest=_digest(submission, points, digests),
    )


def seeds_per_run(point: SweepPoint, submission: Submission) -> int:
    """Seeds that one run computes.

    With `auto`: all seeds where the net is stacked, else one.
    """
    execution: Execution = submission.execution
    if execution.seeds_per_run == "auto":
        return len(submission.seeds) if point.spec.stacks_seeds(execution) else 1
    return execution.seeds_per_run


def plan_runs(
    submission: Submission, wanted: Sequence[tuple[int, SweepPoint, Sequence[int], int]]
) -> list[PlannedRun]:
    """The runs for (index, point, seeds, bytes of memory), in the order in which they start.

    The order is seed by seed. So every point has a first result before any has a second, and runs
    that are compared by seed are computed at about the same time, which matters for their timings.
    """
    device_class = DEVICE_CLASSES[submission.execution.device]
    requires = format_labels(submission.execution.requires)
    runs = [
        (start, PlannedRun(index, tuple(seeds[start : start + size]), needs))
        for index, point, seeds, memory in wanted
        for needs in (Needs(device_class, round_up(memory), requires),)
        for size in (seeds_per_run(point, submission),)
        for start in range(0, len(seeds), size)
    ]
    return [run for _, run in sorted(runs, key=lambda one: one[0])]


def _parse(body: Mapping[str, Any]) -> tuple[Submission | None, list[FieldError]]:
    try:
        return Submission.model_validate(body), []
    except ValidationError as error:
        # Errors inside the spec are found, with better messages, when its kind parses it.
        found = field_errors(error.errors(include_url=False), body)
        return None, [one for one in found if one.pointer != "#/spec"]


def _read_sweep(body: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    """The well-formed axes of the sweep; malformed ones are errors of `_parse`."""
    sweep = body.get("sweep", {})
    if not isinstance(sweep, Mapping):
        return {}
    return {path: values for path, values in sweep.items() if isinstance(values, list)}


def _limit_points(
    sweep: Mapping[str, Sequence[Any]], settings: Settings, errors: list[FieldError]
) -> None:
    count = num_points(sweep)
    if count > settings.max_points:
        _refuse_plan(
            "#/sweep",
            f"the sweep has {count:,} points; the limit is {settings.max_points:,}",
            errors,
        )


def _refuse_plan(pointer: str, detail: str, errors: Sequence[FieldError]) -> None:
    too_large = FieldError(pointer, ProblemCode.PLAN_TOO_LARGE, detail)
    raise ProblemRaised(422, ProblemCode.PLAN_TOO_LARGE, detail, [too_large, *errors])


def _find_datasets(session: Session, points: Sequence[SweepPoint]) -> dict[str, DatasetInfo | None]:
    """Each data set by name, without loading it; None where it is unknown."""
    found: dict[str, DatasetInfo | None] = {}
    for name in {point.spec.data.name for point in points}:
        row = None if name in BUILTIN_DATASETS else get_dataset(session, name)
        found[name] = to_info(row) if row is not None else BUILTIN_DATASETS.get(name)
    return found


def _check_point(
    session: Session, point: SweepPoint, infos: Mapping[str, DatasetInfo | None]
) -> list[FieldError]:
    spec, info = point.spec, infos[point.spec.data.name]
    errors = []
    if info is None:
        registered = [row.name for row in list_datasets(session)]
        known = ", ".join([*BUILTIN_DATASETS, *registered])
        detail = (
            f"there is no data set {spec.data.name!r}; known: {known}; POST /datasets registers one"
        )
        errors.append(FieldError("#/spec/data/name", ProblemCode.DATASET_UNAVAILABLE, detail))
    else:
        errors += validate_data(spec.data, info)
        errors += validate_model(spec.model, spec.init, info)
    if isinstance(spec.init, CheckpointSpec):
        errors += _check_checkpoint(session, spec.init, spec, info)
    return errors


def _check_checkpoint(
    session: Session, init: CheckpointSpec, spec: ExperimentSpec, info: DatasetInfo | None
) -> list[FieldError]:
    pointer = "#/spec/init/checkpoint"
    try:
        find_weights_blob(session, init.checkpoint)
    except NotFound as missing:
        return [FieldError(pointer, ProblemCode.NOT_FOUND, str(missing))]
    weights = get_weights(session, init.checkpoint)
    if weights is None or info is None:
        return []
    shapes = {
        parameter.name: list(parameter.shape)
        for layer in layout(spec.model, info)
        for parameter in (*layer.parameters, *layer.buffers)
    }
    wrong = [
        f"{name} is {weights.tensors.get(name, 'missing')}, the model's is {shape}"
        for name, shape in shapes.items()
        if weights.tensors.get(name) != shape
    ]
    if not wrong:
        return []
    detail = f"{len(wrong)} tensors do not fit the model: {'; '.join(wrong[:3])}"
    return [FieldError(pointer, "shape-mismatch", detail)]


def _check_costs(
    submission: Submission,
    points: Sequence[SweepPoint],
    infos: Mapping[str, DatasetInfo],
    settings: Settings,
) -> list[int]:
    """Check the largest run of each point against the limits; returns the bytes that each needs."""
    limits = CostLimits(
        max_parameters=settings.max_parameters,
        max_memory_bytes=settings.max_memory_bytes,
        max_flops=int(settings.max_flops),
        max_disk_bytes=None,
    )
    errors: dict[FieldError, None] = {}
    memory = []
    for point in points:
        num_seeds = min(len(submission.seeds), seeds_per_run(point, submission))
        cost = estimate(
            point.spec, num_seeds, infos[point.spec.data.name], execution=submission.execution
        )
        errors |= dict.fromkeys(point.locate(error) for error in check(cost, limits))
        memory.append(cost.memory_bytes)
    if errors:
        found = list(errors)[:MAX_ERRORS]
        raise ProblemRaised(422, ProblemCode.LIMIT_EXCEEDED, found[0].detail, found)
    return memory


def _digest(submission: Submission, points: Sequence[SweepPoint], digests: Sequence[str]) -> str:
    """Identity of the experiment: equal digests mean the same runs, on any worker."""
    return sha256_of(
        {
            "points": list(digests),
            "values": [point.values for point in points],
            "seeds": submission.seeds,
            "execution": submission.execution.model_dump(mode="json", exclude={"requires"}),
            "keep": submission.keep,
        }
    )
