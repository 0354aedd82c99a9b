"""Plans a submission: validates it, expands its points and runs, and checks their cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from api.experiments.check_files import CheckedFiles, check_files
from api.experiments.check_webhook import check_webhook
from api.experiments.plan_runs import RunCost, plan_runs, seeds_per_run
from api.http.problems import ProblemRaised
from api.http.request_work import require_caller
from engine.answers import AnswerColumn
from engine.cost import CostLimits, check, estimate
from engine.data.spec import DatasetInfo
from engine.errors import FieldError, InvalidSpec, field_errors, sort_by_document
from engine.experiments.registry import get_kind, kinds, parse_spec
from engine.own_claims.checks import check_claims
from engine.own_claims.quantities import list_claimable
from engine.shared_trainings import SharedTraining, find_shared
from engine.spec import KeptCheckpoints, sha256_of
from engine.sweep import MAX_AXES, MAX_ERRORS, SweepPoint, expand, num_points
from runtime.settings import Settings
from schemas.problems import ProblemCode
from schemas.seed_plan import SeedsUntilDecided
from schemas.submission import Submission
from storage.database.engine import Session
from storage.database.tables import ExperimentRow
from storage.experiments.create import PlannedPoint, PlannedRun
from storage.experiments.find import find_reusable
from storage.files.blobs import BlobStore
from storage.runs.placement import Needs

SCHEMA_FIELD = "$schema"


@dataclass(frozen=True, slots=True)
class Plan:
    """A valid submission, expanded."""

    submission: Submission
    seeds: Sequence[int]
    """The seeds of `runs`: all, or the first where the experiment may add more."""
    base: Mapping[str, Any]
    """The spec before the sweep, with every default filled in."""
    points: Sequence[SweepPoint]
    files: CheckedFiles
    costs: Sequence[RunCost]
    """Of the largest run of each point."""
    runs: Sequence[PlannedRun]
    point_digests: Sequence[str]
    digest: str
    shared: Mapping[int, SharedTraining]
    """By point: the training that it shares with other points; empty without reuse"""

    def planned_points(self) -> list[PlannedPoint]:
        return [
            PlannedPoint(
                index,
                point.values,
                point.spec.model_dump(mode="json"),
                digest,
                self._shared_checkpoints(index),
            )
            for index, (point, digest) in enumerate(
                zip(self.points, self.point_digests, strict=True)
            )
        ]

    def _shared_checkpoints(self, index: int) -> Mapping[str, Any] | None:
        shared = self.shared.get(index)
        return None if shared is None else shared.checkpoints.model_dump(mode="json")

    def kept_checkpoints(self, index: int) -> KeptCheckpoints:
        """What the training of a point keeps, with what other points of it need."""
        shared = self.shared.get(index)
        return self.points[index].spec.kept_checkpoints() if shared is None else shared.checkpoints

    @property
    def needs(self) -> list[Needs]:
        """What each run needs of a worker."""
        return [run.needs for run in self.runs]

    def find_reusable(self, session: Session) -> ExperimentRow | None:
        """An equal experiment, computed on the same data sets, that the submission may reuse."""
        if not self.submission.reuse:
            return None
        return find_reusable(session, self.digest, self.files.used.datasets)

    @property
    def run_sizes(self) -> Sequence[int]:
        """By point: the seeds of its largest run."""
        sizes = [1] * len(self.points)
        for run in self.runs:
            sizes[run.point_index] = max(sizes[run.point_index], len(run.seeds))
        return sizes

    def info_of(self, point: SweepPoint) -> DatasetInfo:
        return self.files.infos[point.spec.data.name]


def plan_submission(
    session: Session,
    settings: Settings,
    blobs: BlobStore,
    body: Mapping[str, Any],
    extended: Sequence[int] | None = None,
) -> Plan:
    """Expand and check a submission; stores nothing.

    extended: all seeds of an experiment that adds seeds by itself and is now extended. The address
    of the body's JSON Schema, `$schema`, is for editors and means nothing here.
    Raises InvalidSpec and problems, each with all errors that it could find, and CallerGone.
    """
    if isinstance(body.get(SCHEMA_FIELD), str):
        body = {name: value for name, value in body.items() if name != SCHEMA_FIELD}
    submission, errors = _parse(body)
    sweep = _read_sweep(body)
    _limit_points(sweep, settings, errors)
    points: list[SweepPoint] = []
    try:
        points = expand(body.get("spec"), sweep, before_point=require_caller)
    except InvalidSpec as invalid:
        errors += invalid.errors
    files, file_errors = check_files(session, blobs, points, MAX_ERRORS)
    errors += file_errors
    if submission is not None and submission.webhook is not None:
        errors += check_webhook(submission.webhook, settings)
    errors += _check_claims(body)
    errors += _check_own_claims(body, points, {} if file_errors else files.infos)
    if errors or submission is None:
        raise InvalidSpec(sort_by_document(errors, body)[:MAX_ERRORS])
    seeds = submission.first_seeds if extended is None else extended
    _limit_runs(submission, points, len(seeds), settings)
    costs = _check_costs(submission, points, len(seeds), files.infos, settings)
    digests = [point.spec.digest() for point in points]
    shared = find_shared_trainings(submission, points)
    return Plan(
        submission=submission,
        seeds=seeds,
        base=parse_spec(body["spec"]).model_dump(mode="json"),
        points=points,
        files=files,
        costs=costs,
        runs=plan_runs(
            session,
            submission,
            [
                (index, point, seeds, cost)
                for index, (point, cost) in enumerate(zip(points, costs, strict=True))
            ],
            shared,
        ),
        point_digests=digests,
        digest=_digest(submission, points, digests, extended),
        shared=shared,
    )


def find_shared_trainings(
    submission: Submission, points: Sequence[SweepPoint]
) -> Mapping[int, SharedTraining]:
    """By place of the point: the training that it shares; nothing is shared without reuse."""
    if not submission.reuse:
        return {}
    return find_shared([point.spec for point in points], submission.execution)


def _parse(body: Mapping[str, Any]) -> tuple[Submission | None, list[FieldError]]:
    try:
        return Submission.model_validate(body), []
    except ValidationError as error:
        # Errors inside the spec are found, with better messages, when its kind parses it.
        found = field_errors(error.errors(include_url=False), body, model=Submission)
        return None, [one for one in found if one.pointer != "#/spec"]


def _read_sweep(body: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    """The well-formed axes of the sweep; malformed ones, and too many, are errors of `_parse`."""
    sweep = body.get("sweep", {})
    if not isinstance(sweep, Mapping) or len(sweep) > MAX_AXES:
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


def _check_claims(body: Mapping[str, Any]) -> list[FieldError]:
    """The error of seeds until the verdicts are decided, for a kind without claims."""
    spec = body.get("spec")
    kind = spec.get("kind") if isinstance(spec, Mapping) else None
    known = kinds().get(kind) if isinstance(kind, str) else None
    if not isinstance(body.get("seeds"), Mapping) or known is None or known.judge_path is not None:
        return []
    if body.get("claims"):
        return []
    detail = (
        f"the paper claims nothing about the kind {kind}, so there is no verdict that could be "
        "decided; give a list of seeds, or `claims` of your own"
    )
    return [FieldError("#/seeds", "no-claims", detail)]


def _check_own_claims(
    body: Mapping[str, Any], points: Sequence[SweepPoint], infos: Mapping[str, DatasetInfo]
) -> list[FieldError]:
    """infos: by name of the data set; empty where the points have errors: then no quantity is
    checked."""

    def list_quantities(index: int) -> Sequence[AnswerColumn] | None:
        spec = points[index].spec
        return list_claimable(get_kind(spec.kind), spec, infos[spec.data.name])

    quantities = cache(list_quantities) if infos else None
    return check_claims(body.get("claims"), len(points), quantities)


def runs_by_look(submission: Submission, sizes: Iterable[int]) -> list[int]:
    """New runs before each look at the verdicts, if the experiment takes all seeds of its plan.

    One number, of all runs, where the seeds are a list. sizes: of each point's largest first run;
    an added run has no more seeds (`storage.experiments.looks`).
    """
    asked, num_seeds = submission.seeds, len(submission.first_seeds)
    added = []
    if isinstance(asked, SeedsUntilDecided):
        starts = range(asked.first, asked.at_most, asked.step)
        added = [min(asked.step, asked.at_most - start) for start in starts]
    sizes = tuple(sizes)
    return [sum(-(-number // size) for size in sizes) for number in (num_seeds, *added)]


def _limit_runs(
    submission: Submission, points: Sequence[SweepPoint], num_seeds: int, settings: Settings
) -> None:
    """Limit the runs, with those that the experiment may add: all together and by one look."""
    sizes = (min(num_seeds, seeds_per_run(point, submission, num_seeds)) for point in points)
    first, *added = runs_by_look(submission, sizes)
    limit = min(settings.max_queued_runs, settings.limit_queued_per_owner)
    if max(added, default=0) > limit:
        detail = f"a step adds {max(added):,} runs; at most {limit:,} may be queued"
        _refuse_plan("#/seeds/step", detail, [])
    of_seeds = sum(-(-num_seeds // seeds_per_run(point, submission, num_seeds)) for point in points)
    num_runs = max(first + sum(added), of_seeds)
    if num_runs > settings.max_runs:
        _refuse_plan(
            "#/seeds",
            f"the experiment has {num_runs:,} runs; the limit is {settings.max_runs:,}",
            [],
        )


def _check_costs(
    submission: Submission,
    points: Sequence[SweepPoint],
    num_seeds: int,
    infos: Mapping[str, DatasetInfo],
    settings: Settings,
) -> list[RunCost]:
    """Check the largest run of each point against the limits; returns what each takes."""
    limits = CostLimits(
        max_parameters=settings.max_parameters,
        max_memory_bytes=settings.max_memory_bytes,
        max_flops=int(settings.max_flops),
        max_disk_bytes=None,
    )
    errors: dict[FieldError, None] = {}
    costs = []
    for point in points:
        require_caller()
        size = min(num_seeds, seeds_per_run(point, submission, num_seeds))
        cost = estimate(
            point.spec,
            size,
            infos[point.spec.data.name],
            execution=submission.execution,
        )
        errors |= dict.fromkeys(point.locate(error) for error in check(cost, limits))
        if len(errors) >= MAX_ERRORS:
            break
        costs.append(RunCost(cost.memory_bytes, cost.seconds / size))
    if errors:
        found = list(errors)[:MAX_ERRORS]
        raise ProblemRaised(422, ProblemCode.LIMIT_EXCEEDED, found[0].detail, found)
    return costs


def _digest(
    submission: Submission,
    points: Sequence[SweepPoint],
    digests: Sequence[str],
    extended: Sequence[int] | None,
) -> str:
    """Identity of the experiment: equal digests mean the same results, on any worker.

    Claims are part of it, as an experiment has one list of them; they are part of no training.
    Where an experiment adds seeds by itself, its plan is part of that and the seeds so far are not.
    Once it was extended on request, it equals no submission.
    """
    claims = [claim.to_json() for claim in submission.claims]
    return sha256_of(
        {
            "points": list(digests),
            "values": [point.values for point in points],
            "seeds": submission.model_dump(mode="json", include={"seeds"})["seeds"],
            **({} if extended is None else {"extended": list(extended)}),
            "execution": submission.execution.model_dump(mode="json", exclude={"requires"}),
            "keep": submission.keep,
            **({"claims": claims} if claims else {}),
        }
    )
