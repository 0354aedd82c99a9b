"""What a plan would do and cost, without doing it."""

from __future__ import annotations

from dataclasses import replace

from api.services.submissions import Plan
from engine.analysis.stats import warn_of_few_seeds
from engine.cost import Cost, estimate
from schemas.submission import Preview, PreviewPoint, ReusedTraining
from storage.artifacts import find_trained_forms
from storage.db import Session
from storage.estimates import Earlier, find_earlier
from storage.experiments import find_reusable
from storage.workers import count_listening

DIVERGING_ADAM_LR = 0.05
"""Deep nets stay at chance at the printed 0.1; all train at 0.001."""


def preview(session: Session, plan: Plan) -> Preview:
    """The plan's points, runs, cost, what would be reused, and what the user should think twice about."""
    submission = plan.submission
    earlier = find_earlier(session, plan.point_digests)
    reusable = find_reusable(session, plan.digest) if submission.reuse else None
    costs = _price(session, plan, earlier)
    reused = _find_reused(session, plan)
    points = []
    for index, (point, digest, cost) in enumerate(zip(plan.points, plan.point_digests, costs, strict=True)):
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
                basis=cost.basis,
                reused_seeds=[training.seed for training in reused[index]],
                reused=reused[index],
            )
        )
    return Preview(
        points=points,
        num_runs=len(plan.runs),
        num_seeds=len(submission.seeds),
        parameters=max(cost.parameters for cost in costs),
        flops=float(sum(cost.flops for cost in costs)),
        memory_bytes=max(cost.memory_bytes for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        basis="measured" if all(cost.basis == "measured" for cost in costs) else "model",
        reuses_experiment=reusable.id if reusable else None,
        warnings=_list_warnings(session, plan),
    )


def _find_reused(session: Session, plan: Plan) -> list[list[ReusedTraining]]:
    """By point, the trainings that runs of any kind have done and that its runs would load."""
    submission = plan.submission
    forms = [
        point.spec.training_form_digest(submission.execution) if point.spec.loads_trainings else None
        for point in plan.points
    ]
    wanted = {form for form in forms if form is not None} if submission.reuse else set()
    trained = find_trained_forms(session, wanted, submission.seeds)
    return [
        [
            ReusedTraining(point=index, seed=seed, run_id=trained[form, seed])
            for seed in submission.seeds
            if form is not None and (form, seed) in trained
        ]
        for index, form in enumerate(forms)
    ]


def _price(session: Session, plan: Plan, earlier: dict[str, Earlier]) -> list[Cost]:
    """All seeds of each point: measured where the same point has run before, else by the model of the device."""
    submission = plan.submission
    wants_gpu = submission.execution.device == "cuda" or (
        submission.execution.device == "auto" and count_listening(session).get("gpu", 0) > 0
    )
    costs = []
    for point, digest in zip(plan.points, plan.point_digests, strict=True):
        cost = estimate(
            point.spec,
            len(submission.seeds),
            plan.info_of(point),
            device="cuda" if wants_gpu else "cpu",
            execution=submission.execution,
        )
        if digest in earlier:
            seconds = earlier[digest].seconds_a_seed * len(submission.seeds)
            cost = replace(cost, seconds=seconds, basis="measured")
        costs.append(cost)
    return costs


def _list_warnings(session: Session, plan: Plan) -> list[str]:
    found = []
    listening = count_listening(session)
    device, seeds = plan.submission.execution.device, plan.submission.seeds
    queue = {"cpu": "cpu", "cuda": "gpu"}.get(device)
    if not (sum(listening.values()) if queue is None else listening.get(queue, 0)):
        what = "no worker" if queue is None else f"no {queue.upper()} worker"
        found.append(f"{what} listens: the runs wait until one does")
    few = warn_of_few_seeds(len(seeds))
    if few:
        found.append(few)
    rates = sorted(
        {
            point.spec.optimizer.lr
            for point in plan.points
            if point.spec.optimizer.name == "adam" and point.spec.optimizer.lr >= DIVERGING_ADAM_LR
        }
    )
    if rates:
        shown = ", ".join(f"{rate:g}" for rate in rates)
        found.append(
            f"Adam at a learning rate of {shown} is known to leave all but the shallowest nets at chance"
        )
    return found
