"""Training on a GPU: deterministic, equal to the CPU up to rounding, without synchronisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from engine.data.resident import resident_data
from engine.experiments.registry import parse_spec
from engine.local import LocalRunContext
from engine.spec import Execution
from engine.training.loop import train
from engine.training.plan import build_learner

Device = Literal["cpu", "cuda"]

pytestmark = pytest.mark.gpu

MODELS: list[dict[str, Any]] = [
    {"name": "relu_net", "width": 100, "depth": 2},
    {"name": "vgg5", "width_multiplier": 0.25},
]


def make_spec(model: dict[str, Any]) -> Any:
    data = {"name": "digits", "train_size": 1_000, "test_size": 500}
    return parse_spec({"kind": "train", "data": data, "model": model, "epochs": 3})


def make_context(folder: Path, device: Device, **execution: Any) -> LocalRunContext:
    return LocalRunContext(
        folder,
        [0],
        Execution(device=device, **execution),
        data_dir=folder,
        allow_download=False,
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_training_on_a_gpu_is_deterministic_and_agrees_with_the_cpu(
    tmp_path: Path, model: dict[str, Any]
) -> None:
    spec = make_spec(model)
    first, again = (train(spec, make_context(tmp_path / name, "cuda"))[0] for name in "ab")
    on_cpu = train(spec, make_context(tmp_path / "cpu", "cpu"))[0]
    unrecorded = train(spec, make_context(tmp_path / "unrecorded", "cuda", cuda_graphs=False))[0]
    assert not first.notes
    for name, tensor in first.theta_T.items():
        assert torch.equal(tensor, again.theta_T[name]), name
        assert torch.equal(tensor, unrecorded.theta_T[name]), name
        torch.testing.assert_close(tensor, on_cpu.theta_T[name], rtol=0, atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_no_step_waits_for_the_device(
    tmp_path: Path, model: dict[str, Any], precision: str
) -> None:
    spec = make_spec(model)
    ctx = make_context(tmp_path, "cuda", precision=precision)
    learner = build_learner(spec, resident_data(spec.data, "cuda", ctx), [0], ctx, None)
    learner.begin_epoch(1, None)
    for step in range(2):  # the first step may load kernels, the second is recorded
        learner.train_step(step)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(2, learner.num_steps - 1):  # the last batch has another size
            learner.train_step(step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert learner.end_epoch()[0].train_loss > 0
