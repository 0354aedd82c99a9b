"""The body that submits an experiment again."""

from __future__ import annotations

from typing import Any

from engine.own_claims.claim import OwnClaim
from engine.spec import Execution
from schemas.resources import Experiment
from schemas.seed_plan import read_seed_plan
from storage.database.tables import ExperimentRow


def submission_body(
    experiment: Experiment | ExperimentRow, *, omit_defaults: bool = False
) -> dict[str, Any]:
    """The submission of this experiment, as JSON values: with the seeds that it has, or its plan.

    omit_defaults: leave out what a submission fills in anyway, for a body that people read. The
    spec is always complete.
    Raises UnreadableRow for a damaged row.
    """
    execution = Execution.model_validate(experiment.execution)
    plan = read_seed_plan(experiment.seed_plan)
    body = {
        "spec": experiment.spec,
        "sweep": experiment.sweep,
        "seeds": list(experiment.seeds) if plan is None else plan.asked.model_dump(mode="json"),
        "claims": [OwnClaim.model_validate(claim).to_json() for claim in experiment.claims],
        "execution": execution.model_dump(
            mode="json", exclude_none=True, exclude_defaults=omit_defaults
        ),
        "name": experiment.name,
        "labels": experiment.labels,
        "priority": experiment.priority,
        "max_seconds": experiment.max_seconds,
        "keep": str(experiment.keep),
    }
    return {
        name: value
        for name, value in body.items()
        if value or (value is not None and not omit_defaults)
    }
