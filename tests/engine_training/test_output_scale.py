"""A scaled output: the training against a plain loop, the lazy limit, kinds that compute on it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from engine.context import RunContext
from engine.cost import estimate
from engine.data.bounds import batch_bounds
from engine.data.load import load_dataset
from engine.data.resident import epoch_order
from engine.data.spec import BUILTIN_DATASETS
from engine.determinism import deterministic
from engine.experiments.registry import get_kind, parse_spec
from engine.local import LocalRunContext
from engine.models.build import build_model
from engine.models.weights import load_tensors
from engine.paper.departures import list_departures
from engine.result import SeedResult
from engine.spec import Execution, ExperimentSpec
from engine.spec_checks import check_spec
from engine.training import loop
from engine.training.outcome import TrainedSeed

SMALL: dict[str, Any] = {"name": "digits", "train_size": 300, "test_size": 100}
DIGITS = BUILTIN_DATASETS["digits"]
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}
EPOCHS, BATCH = 2, 128


def make_spec(kind: str = "train", **fields: Any) -> ExperimentSpec:
    model = {"name": "relu_net", "width": 12}
    common = {"kind": kind, "data": SMALL, "epochs": EPOCHS, "batch_size": BATCH, "optimizer": SGD}
    return parse_spec({**common, "model": model, **fields})


def make_context(folder: Path, **execution: Any) -> LocalRunContext:
    chosen = Execution(device="cpu", **execution)
    return LocalRunContext(folder, (0,), chosen, data_dir=folder, allow_download=False)


def train(folder: Path, **fields: Any) -> TrainedSeed:
    return loop.train(make_spec(**fields), make_context(folder))[0]


def run(folder: Path, spec: ExperimentSpec) -> tuple[SeedResult, RunContext]:
    ctx = make_context(folder)
    (result,) = get_kind(spec.kind).load_run()(spec, ctx)
    return result, ctx


def is_equal(one: TrainedSeed, other: TrainedSeed) -> bool:
    return all(torch.equal(tensor, other.theta_T[name]) for name, tensor in one.theta_T.items())


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_a_training_is_the_plain_loop_bit_for_bit(tmp_path: Path, loss: str, centred: bool) -> None:
    alpha = 7.0
    scale = {"alpha": alpha, "centred": centred}
    trained = train(tmp_path, loss={"name": loss}, output_scale=scale)
    spec = make_spec()
    data = load_dataset(
        spec.data, data_dir=tmp_path, allow_download=False, registered=lambda name: None
    )
    net = build_model(spec.model, DIGITS)
    net.load_state_dict(trained.theta_0)
    origin = deepcopy(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, fused=True)

    def output(x: torch.Tensor) -> torch.Tensor:
        h: torch.Tensor = net(x) - origin(x).detach() if centred else net(x)
        return alpha * h

    with deterministic(True, 1):
        for epoch in range(EPOCHS):
            order = epoch_order(0, epoch, 300)
            for start, stop in batch_bounds(300, BATCH):
                chosen = order[start:stop]
                h, y = output(data.x_train[chosen]), data.y_train[chosen]
                value = (
                    functional.mse_loss(h, functional.one_hot(y, 10).float())
                    if loss == "mse"
                    else functional.cross_entropy(h, y)
                )
                optimizer.zero_grad()
                (value / alpha**2).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        with torch.no_grad():
            right = (output(data.x_test[:]).argmax(1) == data.y_test).sum().item()
    assert all(torch.equal(p, trained.theta_T[name]) for name, p in net.named_parameters())
    assert trained.test_accuracy == right / 100


def test_a_factor_of_one_that_is_not_centred_changes_no_bit(tmp_path: Path) -> None:
    mlp = {"name": "mlp", "widths": [12]}  # it trains one seed at a time either way
    scaled = train(tmp_path / "a", model=mlp, output_scale={"alpha": 1.0, "centred": False})
    assert is_equal(scaled, train(tmp_path / "b", model=mlp))


def test_the_weights_move_by_one_over_alpha_in_the_lazy_limit(tmp_path: Path) -> None:
    """Twice as far from the limit, twice the movement (arXiv 1812.07956, Theorem 2.2)."""
    moved = {}
    for alpha in (100.0, 200.0):
        slow = SGD | {"lr": 0.01}
        fields: dict[str, Any] = {"loss": {"name": "mse"}, "optimizer": slow}
        one = train(tmp_path / str(alpha), output_scale={"alpha": alpha}, **fields)
        gaps = [(tensor - one.theta_0[name]).square().sum() for name, tensor in one.theta_T.items()]
        moved[alpha] = float(sum(gaps)) ** 0.5
    assert 1.99 < moved[100.0] / moved[200.0] < 2.01


def test_without_an_epoch_every_output_is_zero(tmp_path: Path) -> None:
    one = train(tmp_path, epochs=0, output_scale={"alpha": 50.0})
    share_of_class_0 = functional.one_hot(
        load_dataset(
            make_spec().data, data_dir=tmp_path, allow_download=False, registered=lambda name: None
        ).y_test,
        10,
    )[:, 0].float()
    assert one.test_accuracy == pytest.approx(float(share_of_class_0.mean()))
    assert one.test_loss == pytest.approx(float(torch.log(torch.tensor(10.0))))


def test_mixtures_of_a_sweep_are_evaluated_by_the_scaled_output(tmp_path: Path) -> None:
    spec = make_spec("reinit_sweep", output_scale={"alpha": 50.0}, epochs=4)
    result, _ = run(tmp_path, spec)
    trained = train(tmp_path / "again", output_scale={"alpha": 50.0}, epochs=4)
    active = next(curve for curve in result.curves if curve.mode == "active")  # type: ignore[attr-defined]
    assert active.test_accuracy[0] == trained.test_accuracy
    assert active.test_accuracy[-1] == trained.initial_test_accuracy


def test_frozen_layers_stay_and_a_layer_that_trains_is_the_one_of_the_whole(
    tmp_path: Path,
) -> None:
    fields: dict[str, Any] = {"output_scale": {"alpha": 5.0}, "model": {"name": "mlp"}}
    spec = make_spec("lws", policy={"name": "top_k", "k": 1}, **fields)
    result, ctx = run(tmp_path / "top", spec)
    assert (
        "The frozen-prefix cache was not used: the scaled output needs the images." in result.notes
    )
    kept = {name: ctx.load_checkpoint(name, 0) for name in ("theta_0", "theta_T")}
    start, end = (load_tensors(kept[name]) for name in ("theta_0", "theta_T"))
    moved = {name.split(".")[1] for name in start if not torch.equal(start[name], end[name])}
    assert moved == {"2"}
    whole = make_spec("lws", policy={"name": "full"}, **fields)
    _, ctx = run(tmp_path / "full", whole)
    plain = train(tmp_path / "plain", **fields)
    end = load_tensors(ctx.load_checkpoint("theta_T", 0))
    assert all(torch.equal(tensor, end[name]) for name, tensor in plain.theta_T.items())


def test_it_is_computed_in_fp32_and_seeds_are_told_to_train_one_by_one(tmp_path: Path) -> None:
    spec = make_spec(output_scale={"alpha": 1_000.0})
    (rough,) = loop.train(spec, make_context(tmp_path / "a", precision="bf16"))
    (exact,) = loop.train(spec, make_context(tmp_path / "b"))
    assert is_equal(rough, exact)
    told = "Seeds train one by one: the batched net does not compute output_scale."
    assert exact.notes == (told,)
    assert "Computed in fp32: bf16 would round the scaled output away." in rough.notes


@pytest.mark.parametrize(
    "model",
    [{"name": "mlp", "norm": "batch"}, {"name": "vgg5", "batch_norm": True}],
    ids=lambda model: model["name"],
)
def test_a_net_whose_output_depends_on_the_batch_is_refused(model: dict[str, Any]) -> None:
    (error,) = check_spec(make_spec(model=model, output_scale={"alpha": 2.0}), DIGITS)
    assert (error.pointer, error.code) == ("#/spec/output_scale/centred", "needs-fixed-output")
    allowed = make_spec(model=model, output_scale={"alpha": 2.0, "centred": False})
    assert check_spec(allowed, DIGITS) == []


def test_it_is_told_priced_and_part_of_the_training() -> None:
    plain, scaled = make_spec(), make_spec(output_scale={"alpha": 3.0})
    assert "output_scale" not in plain.training_spec()
    assert scaled.training_spec()["output_scale"] == {"alpha": 3.0, "centred": True}
    costs = [estimate(spec, 1, DIGITS) for spec in (plain, scaled)]
    assert costs[1].evaluation_flops == 2 * costs[0].evaluation_flops
    assert costs[0].train_flops < costs[1].train_flops < 2 * costs[0].train_flops
    assert "the output scaled by 3, from its value at the start" in list_departures([scaled], 5)
