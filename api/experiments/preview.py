"""Previews a submission: points, runs, cost, reuse and warnings. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import log
from typing import Literal

from api.dependencies import State
from api.experiments.described_nets import with_described_nets
from api.experiments.plan import Plan, plan_submission, runs_by_look
from api.experiments.preview_warnings import list_warnings
from api.http.json_body import parse_object
from api.http.request_work import require_caller
from engine.cost import Calibration, Cost, calibrate, estimate, shape_of
from engine.data.spec import DatasetInfo
from engine.errors import FieldError
from engine.experiments.registry import get_kind, parse_spec
from engine.paper.departures import list_departures
from engine.spec import Execution
from runtime.settings import Settings
from schemas.seed_plan import SeedsUntilDecided
from schemas.submission import Preview, PreviewGrowth, PreviewPoint, ReusedTraining
from storage.access.ownership import restricted_to_owner
from storage.database.engine import Session
from storage.files.trainings import find_trained_specs
from storage.runs.measured_times import TimedRun, find_timed_runs
from storage.runs.workers import count_listening

Device = Literal["cpu", "cuda"]

NEAREST_RUNS = 3
"""Earlier runs of the same shape that an estimate is based on."""
COMPARED_POINTS = 100
"""The first points, whose departures from the paper are listed."""


def preview(state: State, body: bytes) -> Preview:
    """What the submission would do and cost. Raises InvalidSpec and problems, as `submit` does.

    A quota that would refuse the submission now is a warning, unless an experiment is reused.
    """
    quota_errors = state.quotas.find_storage_errors(state.owner)

    def work() -> Preview:
        with state.db.read() as session, restricted_to_owner(session):
            plan = plan_submission(session, state.settings, state.blobs, parse_object(body))
            queue_errors = state.quotas.find_queue_errors(session, state.owner, len(plan.runs))
            return _preview(session, state.settings, plan, [*quota_errors, *queue_errors])

    return with_described_nets(state, work)


def _preview(
    session: Session, settings: Settings, plan: Plan, quota_errors: Sequence[FieldError]
) -> Preview:
    reusable = plan.find_reusable(session)
    reused = _find_reused(session, plan)
    costs = _estimate_costs(session, plan, len(plan.seeds), [len(found) for found in reused])
    points = []
    for index, (point, digest, cost) in enumerate(
        zip(plan.points, plan.point_digests, costs, strict=True)
    ):
        points.append(
            PreviewPoint(
                index=index,
                values=point.values,
                spec=point.spec.model_dump(mode="json"),
                digest=digest,
                parameters=cost.parameters,
                flops=float(cost.flops),
                memory_bytes=cost.memory_bytes,
                seconds=cost.seconds,
                probe_seconds=cost.probe_seconds,
                basis=cost.basis,
                trained_by=None
                if len(reused[index]) == len(plan.seeds)
                else _trained_by(plan, index),
                reused_seeds=[training.seed for training in reused[index]],
                reused=reused[index],
            )
        )
    return Preview(
        points=points,
        num_runs=len(plan.runs),
        num_seeds=len(plan.seeds),
        parameters=max(cost.parameters for cost in costs),
        flops=float(sum(cost.flops for cost in costs)),
        memory_bytes=max(cost.memory_bytes for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        probe_seconds=sum(cost.probe_seconds for cost in costs),
        basis="measured" if all(cost.basis == "measured" for cost in costs) else "model",
        growth=_preview_growth(session, plan),
        reuses_experiment=reusable.id if reusable else None,
        warnings=[
            *(f"it would be refused now: {one.detail}" for one in quota_errors if reusable is None),
            *list_warnings(session, settings, plan),
        ],
        departures=_list_departures(plan),
    )


def _trained_by(plan: Plan, index: int) -> int | None:
    """The first point that trains the same net; None for that one and for all others."""
    shared = plan.shared.get(index)
    return None if shared is None or shared.first_point == index else shared.first_point


def _find_reused(session: Session, plan: Plan) -> list[list[ReusedTraining]]:
    """By point, the finished trainings, of any kind and on the same data, that its runs load."""
    submission = plan.submission
    digests = [
        point.spec.training_spec_digest(submission.execution)
        if point.spec.loads_trainings
        else None
        for point in plan.points
    ]
    used = plan.files.used.datasets
    wanted = {
        digest: {name: used[name]} if (name := point.spec.data.name) in used else {}
        for point, digest in zip(plan.points, digests, strict=True)
        if digest is not None and submission.reuse
    }
    alike: dict[frozenset[str], set[str]] = {}
    for index, digest in enumerate(digests):
        if digest in wanted:
            alike.setdefault(frozenset(plan.kept_checkpoints(index).names), set()).add(digest)
    trained: dict[str, dict[int, str]] = {}
    for names, group in alike.items():
        datasets = {digest: wanted[digest] for digest in group}
        found = find_trained_specs(session, datasets, plan.seeds, names)
        for (digest, seed), run_id in found.items():
            trained.setdefault(digest, {})[seed] = run_id
    return [
        [
            ReusedTraining(point=index, seed=seed, run_id=trained[digest][seed])
            for seed in plan.seeds
            if seed in trained[digest]
        ]
        if digest in trained
        else []
        for index, digest in enumerate(digests)
    ]


def _preview_growth(session: Session, plan: Plan) -> PreviewGrowth | None:
    """The most that the experiment may become; None where its seeds are a list."""
    asked, seed_plan = plan.submission.seeds, plan.submission.seed_plan
    if seed_plan is None or not isinstance(asked, SeedsUntilDecided):
        return None
    costs = _estimate_costs(session, plan, asked.at_most, [0] * len(plan.points))
    return PreviewGrowth(
        looks_planned=seed_plan.looks_planned,
        confidence=seed_plan.confidence,
        num_seeds=asked.at_most,
        num_runs=sum(runs_by_look(plan.submission, plan.run_sizes)),
        flops=float(sum(cost.flops for cost in costs)),
        seconds=sum(cost.seconds for cost in costs),
    )


def _estimate_costs(
    session: Session, plan: Plan, num_seeds: int, num_reused: Sequence[int]
) -> list[Cost]:
    """The cost of so many seeds of each point.

    num_reused: by point, how many seeds load a training of an earlier run. Those of a point that
    another one trains all load it.
    Seconds are calibrated by finished runs of the same shape; without any, by the device's model.
    """
    submission = plan.submission
    used = submission.execution.model_dump(mode="json")
    wants_gpu = submission.execution.device == "cuda" or (
        submission.execution.device == "auto" and count_listening(session).get("gpu", 0) > 0
    )
    device: Device = "cuda" if wants_gpu else "cpu"
    shapes = [shape_of(point.spec.model_dump(mode="json"), used) for point in plan.points]
    timed = find_timed_runs(session, {point.spec.kind for point in plan.points}, set(shapes))
    sized = {
        shape: _size_runs(runs, plan.files.infos, device)
        for shape, runs in timed.items()
        if any(run.device == device for run in runs)
    }
    costs = []
    for index, (point, shape) in enumerate(zip(plan.points, shapes, strict=True)):
        require_caller()
        is_trained = _trained_by(plan, index) is not None
        estimate_point = partial(
            estimate,
            point.spec,
            num_seeds,
            plan.info_of(point),
            device=device,
            execution=submission.execution,
            num_loaded=num_seeds if is_trained else num_reused[index],
        )
        cost = estimate_point()
        if shape in sized:
            cost = estimate_point(calibration=_calibrate(sized[shape], cost, device))
        costs.append(cost)
    return costs


def _size_runs(
    runs: Sequence[TimedRun], infos: Mapping[str, DatasetInfo], device: Device
) -> list[tuple[TimedRun, Cost]]:
    """The runs on this device, each with its cost by the model."""
    sized = []
    for run in runs:
        if run.device == device:
            spec, execution = parse_spec(run.spec), Execution.model_validate(run.execution)
            info = infos[spec.data.name]
            cost = estimate(spec, run.num_seeds, info, device=device, execution=execution)
            sized.append((run, cost))
    return sized


def _calibrate(sized: Sequence[tuple[TimedRun, Cost]], cost: Cost, device: Device) -> Calibration:
    """The median calibration by the runs nearest in size: their fixed costs have equal weight."""
    nearest = sorted(sized, key=lambda pair: abs(log(pair[1].seconds / cost.seconds)))[
        :NEAREST_RUNS
    ]
    found = [
        calibrate(
            run.seconds,
            model,
            setup_seconds=run.setup_seconds or 0.0,
            training_seconds=run.training_seconds,
            device=device,
        )
        for run, model in nearest
    ]
    return sorted(found, key=lambda calibration: calibration.seconds_per_flop)[len(found) // 2]


def _list_departures(plan: Plan) -> list[str]:
    """Empty for a kind about which the paper claims nothing."""
    if get_kind(plan.base["kind"]).judge_path is None:
        return []
    specs = (point.spec for point in plan.points[:COMPARED_POINTS])
    return list(list_departures(specs, len(plan.seeds)))
