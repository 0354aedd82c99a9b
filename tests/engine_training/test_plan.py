"""Training stacks exactly the seeds that the cost and the submission say it stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from api.experiments.plan_runs import seeds_per_run
from engine.cost import estimate, stack_size
from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.registry import get_kind, kinds, parse_spec
from engine.local import LocalRunContext
from engine.spec import Execution, ExperimentSpec
from engine.sweep import SweepPoint
from engine.training.policies import PolicySpec
from schemas.submission import Submission

SEEDS = [0, 1, 2]
DIGITS = BUILTIN_DATASETS["digits"]
DATA = {"name": "digits", "train_size": 40, "test_size": 20}
MODELS: dict[str, dict[str, Any]] = {
    "relu_net": {"name": "relu_net", "width": 6, "depth": 2},
    "conv_net": {"name": "conv_net", "width": 2, "depth": 2},
}
POLICIES = [policy.model_fields["name"].default for policy in get_args(get_args(PolicySpec)[0])]
NEEDS: dict[str, dict[str, Any]] = {"freeze_out": {"schedule": {"name": "cosine"}}}
"""Fields without which a policy is refused"""


def make_spec(kind: str, model: str, **fields: Any) -> ExperimentSpec:
    data = {**DATA, **fields.pop("data", {})}
    if kind == "gradient_spectrum":
        fields["steps"] = [1]
    return parse_spec({"kind": kind, "data": data, "model": MODELS[model], "epochs": 1, **fields})


def count_stacked_seeds(folder: Path, spec: ExperimentSpec, execution: Execution) -> int:
    """The number of seeds that a training of SEEDS reports to have stacked."""
    ctx = LocalRunContext(
        folder,
        SEEDS,
        execution.model_copy(update={"device": "cpu"}),
        data_dir=folder,
        allow_download=False,
    )
    (stacked,) = {
        result.timings.stacked_seeds for result in get_kind(spec.kind).load_run()(spec, ctx)
    }
    return stacked


def assert_all_agree(
    folder: Path, spec: ExperimentSpec, execution: Execution, *, stacked: bool
) -> None:
    expected = len(SEEDS) if stacked else 1
    assert count_stacked_seeds(folder, spec, execution) == expected
    assert min(len(SEEDS), stack_size(spec, DIGITS, execution)) == expected
    submission = Submission.model_validate(
        {
            "spec": spec.model_dump(mode="json"),
            "seeds": SEEDS,
            "execution": execution.model_dump(mode="json"),
        }
    )
    assert seeds_per_run(SweepPoint({}, spec), submission, len(SEEDS)) == expected
    of_all, of_one = (
        estimate(spec, num_seeds, DIGITS, execution=execution).memory_bytes
        for num_seeds in (len(SEEDS), 1)
    )
    assert (of_all > of_one) == stacked


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", kinds())
def test_every_kind_stacks_as_planned(tmp_path: Path, kind: str, model: str) -> None:
    stacked = model == "relu_net" and kind != "lws"
    assert_all_agree(tmp_path, make_spec(kind, model), Execution(), stacked=stacked)


@pytest.mark.parametrize("policy", [one for one in POLICIES if one != "norm"])
def test_no_policy_stacks_its_seeds(tmp_path: Path, policy: str) -> None:
    """But `norm`, for which a ReLU-Net has no parameters."""
    spec = make_spec("lws", "relu_net", policy={"name": policy}, **NEEDS.get(policy, {}))
    assert_all_agree(tmp_path, spec, Execution(), stacked=False)


@pytest.mark.parametrize(
    ("execution", "data"),
    [
        ({"stack_seeds": False}, {}),
        ({"precision": "bf16"}, {}),
        ({}, {"augmentation": "crop_flip"}),
    ],
    ids=["switched off", "bf16", "augmented"],
)
def test_what_the_stacked_learner_cannot_compute_is_not_stacked(
    tmp_path: Path, execution: dict[str, Any], data: dict[str, Any]
) -> None:
    spec = make_spec("train", "relu_net", data=data)
    assert_all_agree(tmp_path, spec, Execution(**execution), stacked=False)
