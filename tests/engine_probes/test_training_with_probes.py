"""Probes change no training; they are resumed, reused and summarised with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.answers import AnswerColumn
from engine.context import ResumeState
from engine.errors import ModelRejected, RunInterrupted
from engine.experiments.registry import get_kind, kinds, parse_spec
from engine.local import LocalRunContext, run_local
from engine.models.net import LayeredNet
from engine.models.weights import load_tensors
from engine.own_claims.quantities import list_claimable
from engine.probes import meter
from engine.probes.linearised import measure_linearised
from engine.probes.net import ProbeBatch, ProbeNet, draw_batch
from engine.probes.quantities import QUANTITIES
from engine.probes.tangent_kernel import tangent_kernel
from engine.spec import Execution
from engine.training.loop import train
from engine.training.outcome import TrainedSeed
from tests.engine_parts.nets import DIGITS

SMALL: dict[str, Any] = {"name": "digits", "train_size": 200, "test_size": 130}
RELU_NET = {"name": "relu_net", "width": 8, "depth": 2}
NORMALISED = {"name": "mlp", "widths": [8], "norm": "batch"}
WHOLE_NET = {one.name for one in QUANTITIES}


def make_spec(probes: Any = None, **changes: Any) -> Any:
    parts = {"kind": "train", "data": SMALL, "model": RELU_NET, "epochs": 3, "batch_size": 50}
    return parse_spec({**parts, "probes": probes, **changes})


def run(
    folder: Path, spec: Any, *, seeds: tuple[int, ...] = (0, 1), stack: bool = True
) -> tuple[list[TrainedSeed], LocalRunContext]:
    ctx = context(LocalRunContext, folder, seeds, stack)
    return train(spec, ctx), ctx


def context(
    made: type[LocalRunContext], folder: Path, seeds: tuple[int, ...], stack: bool
) -> LocalRunContext:
    execution = Execution(device="cpu", stack_seeds=stack)
    return made(folder, seeds, execution, data_dir=folder, save_every_seconds=1e9)


class Interrupted(LocalRunContext):
    """Saves and stops before its seventh step."""

    steps = 0

    def should_save(self) -> bool:
        self.steps += 1
        return self.steps == 7

    def save_resume(self, resume: ResumeState) -> None:
        super().save_resume(resume)
        raise RunInterrupted


@pytest.mark.parametrize(
    ("model", "stack"), [(RELU_NET, True), (RELU_NET, False), (NORMALISED, False)]
)
def test_the_weights_have_equal_bits_with_and_without_probes(
    tmp_path: Path, model: Any, stack: bool
) -> None:
    plain, plain_ctx = run(tmp_path / "plain", make_spec(model=model), stack=stack)
    probed, ctx = run(tmp_path / "probed", make_spec({}, model=model), stack=stack)
    for ours, theirs in zip(probed, plain, strict=True):
        assert all(torch.equal(ours.theta_T[name], theta) for name, theta in theirs.theta_T.items())
        for name, series in plain_ctx.metrics()[ours.seed].items():
            assert ctx.metrics()[ours.seed][name] == series
        assert ours.probes == {
            name: series[3]
            for name, series in ctx.metrics()[ours.seed].items()
            if name in ours.probes
        }
        assert set(ours.probes) >= WHOLE_NET
        assert theirs.probes == {}
        assert ours.timings.probe_seconds > 0 == theirs.timings.probe_seconds


def test_the_moments_are_those_of_the_field(tmp_path: Path) -> None:
    _, ctx = run(tmp_path, make_spec({"epochs": [2], "quantities": ["movement"]}))
    assert set(ctx.metrics()[0]["movement"]) == {0, 2, 3}
    assert ctx.metrics()[0]["movement"][0] == 0.0
    assert "cka" not in ctx.metrics()[0]


@pytest.mark.parametrize("stack", [True, False])
def test_a_training_that_is_resumed_measures_the_same(tmp_path: Path, stack: bool) -> None:
    _, whole = run(tmp_path / "whole", make_spec({}), stack=stack)
    with pytest.raises(RunInterrupted):
        train(make_spec({}), context(Interrupted, tmp_path / "resumed", (0, 1), stack))
    trained, resumed = run(tmp_path / "resumed", make_spec({}), stack=stack)
    assert any(event["name"] == "training.resumed" for event in resumed.events)
    assert resumed.metrics() == whole.metrics()
    again, _ = run(tmp_path / "resumed", make_spec({}), stack=stack)
    assert [one.probes for one in again] == [one.probes for one in trained]


def test_a_net_that_is_not_finite_has_no_values(tmp_path: Path) -> None:
    optimizer = {"name": "sgd", "lr": 100.0}
    spec = make_spec({}, optimizer=optimizer, model={**RELU_NET, "width": 20, "depth": 4})
    trained, ctx = run(tmp_path, spec, seeds=(0,))
    assert trained[0].outcome == "not_finite"
    assert set(trained[0].probes) >= WHOLE_NET
    assert set(trained[0].probes.values()) == {None}
    assert min(ctx.metrics()[0]["movement"]) == 0


def test_all_seeds_are_measured_on_the_same_examples(tmp_path: Path) -> None:
    from engine.data.resident import resident_data

    ctx = context(LocalRunContext, tmp_path, (0,), True)
    data = resident_data(make_spec().data, "cpu", ctx)

    def rows(probes: dict[str, Any], seed: int) -> list[float]:
        field = make_spec(probes).probes
        return draw_batch(field, data, seed).x.flatten(1).sum(1).tolist()

    assert len(rows({}, 0)) == len(set(rows({}, 0))) == 128
    assert rows({}, 0) != rows({}, 1)
    assert rows({"examples": 150}, 0)[:128] == rows({}, 0)
    test = rows({"split": "test"}, 0)
    assert set(test) <= set(data.x_test.flatten(1).sum(1).tolist())  # type: ignore[union-attr]


ONE_STEP: dict[str, dict[str, Any]] = {
    "gradient_spectrum": {"steps": [1]},
    "connectivity": {"splits": {"steps": [0]}},
}
"""Fields with which a kind takes a training of few steps"""


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_answers_with_what_was_measured(tmp_path: Path, kind: str) -> None:
    example = get_kind(kind).example["spec"]
    spec = {**example, **ONE_STEP.get(kind, {}), "data": SMALL, "model": RELU_NET}
    spec |= {"epochs": 1, "probes": {}}
    found = run_local({"spec": spec}, tmp_path, seeds=[0, 1], data_dir=tmp_path, device="cpu")
    point = found.point_results[0]
    names = {column.name for column in columns_of(kind, point)}
    assert names >= {*WHOLE_NET, "cka_layer_0", "movement_layer_2"}
    distance = point["probes"]["kernel_distance"]
    assert distance["n"] == 2
    assert distance["mean"] == pytest.approx(
        sum(series["kernel_distance"][1] for series in found.contexts[0].metrics().values()) / 2  # type: ignore[misc]
    )
    claimable = list_claimable(get_kind(kind), parse_spec(spec), DIGITS)
    assert claimable is not None
    assert {column.name for column in claimable} >= WHOLE_NET
    assert load_tensors(found.contexts[0].load_checkpoint("theta_T", 0))


def columns_of(kind: str, point: Any) -> list[AnswerColumn]:
    return get_kind(kind).read_answer(point)


def test_a_net_without_the_derivatives_fails_at_the_start_with_the_quantity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*nets: Any) -> Any:
        raise NotImplementedError("Trying to use forward AD with aten::one that does not")

    monkeypatch.setitem(meter._MEASURES, "linearised", fail)
    with pytest.raises(ModelRejected, match="leave it out of `probes`"):
        run(tmp_path / "refused", make_spec({}))
    run(tmp_path / "left out", make_spec({"quantities": ["movement"]}))


def test_other_faults_are_not_called_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*nets: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setitem(meter._MEASURES, "movement", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, make_spec({}))


class Attention(nn.Module):
    """Attention over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(28, 2, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = self.encoder(x[:, 0])
        return rows.mean(dim=1)


def test_attention_has_every_quantity() -> None:
    """Its fused kernel, used in evaluation without gradients, has no forward-mode derivative."""
    layers = [Attention(), nn.Linear(28, 10)]
    built = LayeredNet(layers, normalises_by_batch=[False] * 2, is_random=[True, False])
    start = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    now = {name: 1.01 * tensor for name, tensor in start.items()}
    net = ProbeNet(built, ProbeBatch(torch.randn(4, 1, 28, 28), torch.tensor([0, 1, 2, 3]), 10))
    assert 0 < measure_linearised(net, start, now)["linear_error"] < 1
    assert tangent_kernel(net, start, full=False, at_once=3).shape == (4, 4)
    assert torch.backends.mha.get_fastpath_enabled()
