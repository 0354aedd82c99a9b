"""Training on a GPU: deterministic, equal to the CPU up to rounding, without synchronisation.

`GPU_TESTS_DEVICE=cpu` rehearses the tests where there is no GPU.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, cast

import pytest
import torch

from engine.data.resident import resident_data
from engine.determinism import deterministic
from engine.experiments.lws.run import run as run_layerwise
from engine.experiments.registry import get_kind, kinds, parse_spec
from engine.local import LocalRunContext
from engine.spec import Execution
from engine.training.loop import train
from engine.training.plan import build_learner

Device = Literal["cpu", "cuda"]
GPU = cast(Device, os.environ.get("GPU_TESTS_DEVICE", "cuda"))

pytestmark = pytest.mark.gpu

MODELS: list[dict[str, Any]] = [
    {"name": "relu_net", "width": 100, "depth": 2},
    {"name": "vgg5", "width_multiplier": 0.25},
]


def make_spec(model: dict[str, Any], **fields: Any) -> Any:
    data = {"name": "digits", "train_size": 1_000, "test_size": 500}
    return parse_spec({"kind": "train", "data": data, "model": model, "epochs": 3, **fields})


def make_context(
    folder: Path, device: Device, seeds: Sequence[int] = (0,), **execution: Any
) -> LocalRunContext:
    return LocalRunContext(
        folder,
        list(seeds),
        Execution(device=device, **execution),
        data_dir=folder,
        allow_download=False,
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_training_on_a_gpu_is_deterministic_and_agrees_with_the_cpu(
    tmp_path: Path, model: dict[str, Any]
) -> None:
    spec = make_spec(model)
    first, again = (train(spec, make_context(tmp_path / name, GPU))[0] for name in "ab")
    on_cpu = train(spec, make_context(tmp_path / "cpu", "cpu"))[0]
    unrecorded = train(spec, make_context(tmp_path / "unrecorded", GPU, cuda_graphs=False))[0]
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
    ctx = make_context(tmp_path, GPU, precision=precision)
    learner = build_learner(spec, resident_data(spec.data, GPU, ctx), [0], ctx, None)
    learner.begin_epoch(1, None)
    for step in range(2):  # the first step may load kernels, the second is recorded
        learner.train_step(step)
    with _waits_are_errors() if GPU == "cuda" else nullcontext():
        for step in range(2, learner.num_steps - 1):  # the last batch has another size
            learner.train_step(step)
    assert learner.end_epoch()[0].train_loss > 0


@contextmanager
def _waits_are_errors() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("optimizer", [{"name": "adam"}, {"name": "sgd", "momentum": 0.9}], ids=str)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_a_restored_learner_repeats_its_recorded_steps(
    tmp_path: Path, model: dict[str, Any], optimizer: dict[str, Any]
) -> None:
    """The moments and the counters of Adam get new memory, so that steps are recorded anew."""
    spec = make_spec(model, optimizer=optimizer)
    ctx = make_context(tmp_path, GPU)
    learner = build_learner(spec, resident_data(spec.data, GPU, ctx), [0], ctx, None)

    def train_epoch(epoch: int) -> dict[str, torch.Tensor]:
        learner.begin_epoch(epoch, None)
        for step in range(learner.num_steps):
            learner.train_step(step)
        learner.end_epoch()
        return learner.parameters(0)

    with deterministic():
        train_epoch(1)
        before = learner.capture()
        once = train_epoch(2)
        learner.restore(before)
        again = train_epoch(2)
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not learner.notes


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_layers_that_change_are_recorded_with_the_bits_of_calls(
    tmp_path: Path, precision: str
) -> None:
    policy = {"name": "top_k_all_bottoms", "k": 1, "rho": 0.5}
    spec = make_spec(MODELS[1], kind="lws", policy=policy, epochs=6)
    found = []
    for recorded in (True, False):
        folder = tmp_path / str(recorded)
        run_layerwise(spec, make_context(folder, GPU, precision=precision, cuda_graphs=recorded))
        found.append((folder / "theta_T-seed0.safetensors").read_bytes())
    assert found[0] == found[1]


def test_seeds_that_are_stacked_have_the_bits_of_each_alone(tmp_path: Path) -> None:
    spec = make_spec(MODELS[0])
    together = train(spec, make_context(tmp_path / "all", GPU, range(3)))
    for seed, found in enumerate(together):
        (alone,) = train(spec, make_context(tmp_path / str(seed), GPU, [seed]))
        assert all(torch.equal(found.theta_T[name], alone.theta_T[name]) for name in found.theta_T)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_a_training_that_has_ended_keeps_no_memory(tmp_path: Path, model: dict[str, Any]) -> None:
    """Without the cycle collector; graphs would hold the memory of their steps."""
    spec = make_spec(model)
    used: Callable[[], int] = torch.cuda.memory_allocated if GPU == "cuda" else lambda: 0
    train(spec, make_context(tmp_path / "first", GPU))  # data and workspaces stay
    gc.collect()
    before = used()
    gc.disable()
    try:
        train(spec, make_context(tmp_path / "second", GPU))
        assert used() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("name", kinds())
def test_every_kind_computes_on_a_gpu(tmp_path: Path, name: str) -> None:
    """An operation without a deterministic kernel would raise."""
    fields: dict[str, Any] = {
        "activity_map": {"model": {"name": "conv_net", "width": 4}},
        "gradient_spectrum": {"steps": [1, 3]},
    }
    data = {"name": "digits", "train_size": 300, "test_size": 100}
    small = {"data": data, "model": {"name": "relu_net", "width": 10, "depth": 2}, "epochs": 2}
    spec = parse_spec({"kind": name, **small, **fields.get(name, {})})
    (result,) = get_kind(name).load_run()(spec, make_context(tmp_path, GPU))
    assert result.outcome in ("trained", "at_chance")
