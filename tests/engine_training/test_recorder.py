"""Recorded and replayed steps give the same bits; steps that cannot be recorded run directly."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

import engine.training.module_learner
import engine.training.plan
from engine.data.resident import resident_data
from engine.experiments.lws.run import run as run_layerwise
from engine.experiments.registry import parse_spec
from engine.local import LocalRunContext
from engine.spec import Execution
from engine.training.layer_schedule import EpochSchedule
from engine.training.learner import Learner
from engine.training.loop import train
from engine.training.plan import build_learner
from engine.training.recorder import Record, Recorder, build_recorder
from tests.engine_training.tape import record_on_tape

DIGITS = {"name": "digits", "train_size": 140, "test_size": 50}
"""140 images in batches of 30: the last batch of an epoch is smaller."""
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
HALVES = {"name": "step", "every_epochs": 1, "factor": 0.5}
NETS: dict[str, dict[str, Any]] = {
    "stacked_relu_nets": {"model": {"name": "relu_net", "width": 10, "depth": 2}},
    "stacked_relu_nets_by_sgd": {
        "model": {"name": "relu_net", "width": 10, "depth": 2},
        "optimizer": SGD,
    },
    "conv_net": {"model": {"name": "conv_net", "width": 4, "depth": 2}},
    "vgg5_by_sgd": {"model": {"name": "vgg5", "width_multiplier": 0.05}, "optimizer": SGD},
}


class Counted:
    """Wraps a `Record` to count its calls and, from call `fails_from` on, to fail."""

    def __init__(self, record: Record, fails_from: int | None = None) -> None:
        self._record, self._fails_from = record, fails_from
        self.recorded = self.replayed = self.failed = 0

    def __call__(self, part: Callable[[], object]) -> Callable[[], object]:
        if self.recorded == self._fails_from:
            self.failed += 1
            raise RuntimeError("operation not permitted when stream is capturing\nmore of it")
        self.recorded += 1
        replay = self._record(part)

        def counted() -> None:
            self.replayed += 1
            replay()

        return counted


def record_by(monkeypatch: pytest.MonkeyPatch, record: Record | None) -> list[Recorder]:
    """Make trainings use recorders of `record`; returns the list to which each is added."""
    made: list[Recorder] = []

    def build(*_: object) -> Recorder:
        made.append(Recorder(record, keeps_memory=True))
        return made[-1]

    monkeypatch.setattr(engine.training.plan, "build_recorder", build)
    return made


def make_context(
    folder: Path, seeds: Sequence[int] = (0, 1), precision: Literal["fp32", "bf16"] = "fp32"
) -> LocalRunContext:
    execution = Execution(device="cpu", precision=precision)
    return LocalRunContext(folder, list(seeds), execution, data_dir=folder, allow_download=False)


def weights(folder: Path, spec: Any, run: Callable[[Any, Any], object] = train) -> list[bytes]:
    """The bytes of the final weights of two seeds."""
    run(spec, make_context(folder))
    return [(folder / f"theta_T-seed{seed}.safetensors").read_bytes() for seed in (0, 1)]


def make_spec(kind: str = "train", **fields: Any) -> Any:
    return parse_spec(
        {"kind": kind, "data": DIGITS, "batch_size": 30, "epochs": 3, "schedule": HALVES, **fields}
    )


def make_learner(folder: Path, spec: Any, schedule: EpochSchedule | None = None) -> Learner:
    ctx = make_context(folder, [0])
    return build_learner(spec, resident_data(spec.data, "cpu", ctx), [0], ctx, schedule)


@pytest.mark.parametrize("fields", NETS.values(), ids=NETS)
def test_a_replayed_training_has_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    spec, counted = make_spec(**fields), Counted(record_on_tape)
    record_by(monkeypatch, None)
    plain = weights(tmp_path / "plain", spec)
    record_by(monkeypatch, counted)
    assert weights(tmp_path / "replayed", spec) == plain
    # an epoch has four steps of one size and a smaller one; the first of each size is not replayed
    steps_of_a_learner = 3 * 5 - 2
    assert counted.replayed % steps_of_a_learner == 0
    assert counted.replayed // steps_of_a_learner == counted.recorded // 2


@pytest.mark.parametrize(
    "policy", [{"name": "top_k_all_bottoms", "k": 1, "rho": 0.4}, {"name": "random_uniform"}]
)
@pytest.mark.parametrize(
    "model", [NETS["vgg5_by_sgd"]["model"], {"name": "relu_net", "width": 8, "depth": 2}]
)
def test_replayed_layerwise_training_has_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: dict[str, Any], model: dict[str, Any]
) -> None:
    spec = make_spec("lws", model=model, policy=policy, optimizer=SGD, epochs=4)
    record_by(monkeypatch, None)
    plain = weights(tmp_path / "plain", spec, run_layerwise)
    counted = Counted(record_on_tape)
    record_by(monkeypatch, counted)
    monkeypatch.setattr(engine.training.module_learner, "MAX_TRAIN_STEPS", 2)
    assert weights(tmp_path / "replayed", spec, run_layerwise) == plain
    assert counted.replayed > 0


@pytest.mark.parametrize("fails_from", [0, 1, 5])
@pytest.mark.parametrize(
    "fields", [NETS["stacked_relu_nets"], NETS["conv_net"]], ids=["stacked", "one by one"]
)
def test_steps_that_cannot_be_recorded_are_run_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], fails_from: int
) -> None:
    spec = make_spec(**fields)
    record_by(monkeypatch, None)
    plain = weights(tmp_path / "plain", spec)
    counted = Counted(record_on_tape, fails_from)
    made = record_by(monkeypatch, counted)
    assert weights(tmp_path / "unrecorded", spec) == plain
    assert counted.failed == len([recorder for recorder in made if not recorder.records])
    assert made[-1].notes == (
        "steps are not recorded as CUDA graphs: operation not permitted when stream is capturing",
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("fields", NETS.values(), ids=NETS)
def test_a_learner_and_its_recorded_steps_are_freed_without_the_cycle_collector(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    precision: Literal["fp32", "bf16"],
) -> None:
    """On a GPU a graph holds its memory, and the collector may not run before it is needed."""
    recorded: list[weakref.ref[Callable[[], object]]] = []

    def record(part: Callable[[], object]) -> Callable[[], object]:
        recorded.append(weakref.ref(replay := record_on_tape(part)))
        return replay

    record_by(monkeypatch, record)
    spec = make_spec(**fields)
    ctx = make_context(tmp_path, [0], precision=precision)
    learner = build_learner(spec, resident_data(spec.data, "cpu", ctx), [0], ctx, None)
    learner.begin_epoch(1, None)
    for step in range(2):
        learner.train_step(step)
    assert recorded
    assert all(one() for one in recorded)
    freed = weakref.ref(learner)
    gc.disable()
    try:
        del learner
        assert freed() is None
        assert not any(one() for one in recorded)
    finally:
        gc.enable()


@pytest.mark.parametrize("fields", NETS.values(), ids=NETS)
def test_a_restored_learner_repeats_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    record_by(monkeypatch, record_on_tape)
    learner = make_learner(tmp_path, make_spec(**fields))

    def train_epoch(epoch: int) -> None:
        learner.begin_epoch(epoch, None)
        for step in range(learner.num_steps):
            learner.train_step(step)
        learner.end_epoch()

    train_epoch(1)
    train_epoch(2)
    before = learner.capture()
    train_epoch(3)
    once = learner.parameters(0)
    learner.restore(before)
    train_epoch(3)
    again = learner.parameters(0)
    assert all(torch.equal(once[name], again[name]) for name in once)


@pytest.mark.parametrize(
    "model", [NETS["conv_net"]["model"], {"name": "relu_net", "width": 8, "depth": 2}]
)
def test_a_replayed_step_has_the_gradient_of_a_plain_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: dict[str, Any]
) -> None:
    trained = (
        frozenset({0, 1, 2}),
        frozenset({1, 2}),
        frozenset({2}),
        frozenset({1, 2}),
        frozenset({2}),
    )
    spec = make_spec("lws", model=model, optimizer=SGD, epochs=len(trained))
    found: list[list[torch.Tensor]] = []
    for record in (None, record_on_tape):
        record_by(monkeypatch, record)
        learner = make_learner(tmp_path, spec, EpochSchedule(3, trained))
        found.append([])
        for epoch, layers in enumerate(trained, start=1):
            learner.begin_epoch(epoch, layers)
            for step in range(learner.num_steps):
                learner.train_step(step)
                found[-1].append(learner.batch_gradient(0))
    plain, replayed = found
    assert all(torch.equal(one, other) for one, other in zip(plain, replayed, strict=True))


def test_only_a_gpu_records() -> None:
    recorder = build_recorder(torch.device("cpu"), Execution())
    assert (recorder.records, recorder.keeps_memory) == (False, False)


def test_a_recorder_that_refuses_records_nothing_and_says_why() -> None:
    recorder = Recorder(lambda part: part, keeps_memory=True)
    refused = recorder.refuse("the net draws random numbers in each step")
    assert (refused.records, refused.keeps_memory, recorder.records) == (False, True, True)
    assert refused.notes == (
        "steps are not recorded as CUDA graphs: the net draws random numbers in each step",
    )
    plain = Recorder()
    assert plain.refuse("any") is plain
