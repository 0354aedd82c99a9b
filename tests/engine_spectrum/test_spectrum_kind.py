"""The kind `gradient_spectrum`: measurements, resumption, spec, plots, the verdict on claim 8."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from engine.analysis.spectrum import measure_spectrum
from engine.context import ResumeState
from engine.data.bounds import batch_bounds, num_batches
from engine.data.load import load_dataset
from engine.data.resident import epoch_order
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import InvalidSpec, RunInterrupted
from engine.experiments.gradient_spectrum import KIND
from engine.experiments.gradient_spectrum.curves import spectrum_numbers
from engine.experiments.gradient_spectrum.judge import judge as judge_points
from engine.experiments.gradient_spectrum.plots import draw
from engine.experiments.gradient_spectrum.result import SpectrumSeedResult, StepSpectrum
from engine.experiments.gradient_spectrum.run import run
from engine.experiments.gradient_spectrum.spec import GradientSpectrumSpec
from engine.experiments.registry import parse_spec
from engine.kind import FinishedPoint
from engine.local import LocalExperiment, LocalRunContext, run_local
from engine.models.build import build_model
from engine.models.weights import load_tensors
from engine.plotting import PlotOptions, save
from engine.result import Timings
from engine.spec import Execution
from engine.spec_checks import check_spec
from engine.sweep import expand

LR = 0.05
SPEC: dict[str, Any] = {
    "kind": "gradient_spectrum",
    "data": {"name": "digits", "train_size": 160, "test_size": 40},
    "model": {"name": "relu_net", "width": 8, "depth": 1},
    "optimizer": {
        "name": "sgd",
        "lr": LR,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.01,
    },
    "batch_size": 32,
    "epochs": 2,
    "steps": [1, 4, 7],
}
MODELS: dict[str, dict[str, Any]] = {
    "stacked": {"name": "relu_net", "width": 8, "depth": 1},
    "module": {"name": "conv_net", "width": 3, "depth": 1},
}


def make_spec(**parts: Any) -> GradientSpectrumSpec:
    spec = parse_spec({**SPEC, **parts})
    assert isinstance(spec, GradientSpectrumSpec)
    return spec


class StoppedContext(LocalRunContext):
    """Stops after the save before its `stop_before`th step."""

    stop_before: int | None = None
    steps = 0

    def check(self) -> None:
        self.steps += 1

    def should_save(self) -> bool:
        return self.steps == self.stop_before

    def save_resume(self, resume: ResumeState) -> None:
        super().save_resume(resume)
        if self.steps == self.stop_before:
            raise RunInterrupted("the test interrupts")


def make_context(folder: Path, seeds: tuple[int, ...] = (0, 1)) -> StoppedContext:
    execution = Execution(device="cpu")
    return StoppedContext(folder, seeds, execution, data_dir=folder, allow_download=False)


def read_magnitudes(ctx: StoppedContext, seed: int, step: int) -> np.ndarray[Any, Any]:
    stored = ctx.read_artifact(seed, f"magnitudes_step{step}.npz")
    assert stored is not None
    found: np.ndarray[Any, Any] = np.load(BytesIO(stored))["magnitudes"]
    return found


def test_the_spectrum_of_a_toy_gradient_matches_a_hand_computation() -> None:
    spectrum = measure_spectrum(
        torch.tensor([0.0, -6.0, 2.0, 0.0, 3.0]), (20, 50, 60, 80, 100), (1, 20, 40, 100)
    )
    assert spectrum.magnitudes.tolist() == [6.0, 3.0, 2.0, 0.0, 0.0]
    assert spectrum.quantiles == {20: 0.0, 50: 2.0, 60: 2.0, 80: 3.0, 100: 6.0}
    assert spectrum.share_of_norm == {1: 0.0, 20: 36 / 49, 40: 45 / 49, 100: 1.0}
    assert spectrum.ranks == (1, 2, 3, 4, 5)
    assert spectrum.values == (6.0, 3.0, 2.0, 0.0, 0.0)
    assert spectrum.cumulative_shares == (36 / 49, 45 / 49, 1.0, 1.0, 1.0)
    assert measure_spectrum(torch.zeros(3), (), (100,)).cumulative_shares == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("model", MODELS)
def test_the_sorted_values_are_autograd_s_gradient_of_the_step_s_batch(
    tmp_path: Path, model: str
) -> None:
    spec = make_spec(model=MODELS[model])
    ctx = make_context(tmp_path)
    seed_results = run(spec, ctx)
    data = load_dataset(
        spec.data, data_dir=tmp_path, allow_download=False, registered=lambda name: None
    )
    for seed_result in seed_results:
        assert isinstance(seed_result, SpectrumSeedResult)
        net = build_model(spec.model, data.info)
        net.load_state_dict(
            load_tensors((tmp_path / f"theta_0-seed{seed_result.seed}.safetensors").read_bytes())
        )
        measured = {one.step: one for one in seed_result.steps}
        assert sorted(measured) == [1, 4, 7]
        step, before = 0, None
        for epoch in range(spec.epochs):
            order = epoch_order(seed_result.seed, epoch, len(data.y_train))
            for start, stop in batch_bounds(len(order), spec.batch_size):
                step += 1
                chosen = order[start:stop]
                net.zero_grad()
                torch.autograd.backward(
                    functional.cross_entropy(net(data.x_train[chosen]), data.y_train[chosen])
                )
                gradient = torch.cat(
                    [p.grad.flatten() for p in net.parameters() if p.grad is not None]
                )
                if step in measured:
                    expected = gradient.abs().sort(descending=True).values
                    found = torch.from_numpy(read_magnitudes(ctx, seed_result.seed, step))
                    torch.testing.assert_close(found, expected, atol=2e-6, rtol=2e-4)
                    assert before is None or not torch.allclose(found, before, atol=1e-3), (
                        "the gradient is that of another step"
                    )
                    assert bool((found[:-1] >= found[1:]).all())
                    assert (
                        measured[step].p == len(found) == sum(p.numel() for p in net.parameters())
                    )
                    assert measured[step].quantiles["100"] == float(found[0])
                    assert measured[step].zeros == float((found == 0).double().mean())
                before = gradient.abs().sort(descending=True).values
                with torch.no_grad():
                    for p in net.parameters():
                        assert p.grad is not None
                        p.sub_(LR * (p.grad + 0.01 * p))


@pytest.mark.parametrize("model", MODELS)
def test_a_killed_and_resumed_run_stores_equal_files(tmp_path: Path, model: str) -> None:
    spec = make_spec(model=MODELS[model])
    whole, resumed = make_context(tmp_path / "whole"), make_context(tmp_path / "resumed")
    expected = run(spec, whole)
    for stop in (6, 3):
        resumed.stop_before = resumed.steps + stop
        with pytest.raises(RunInterrupted):
            run(spec, resumed)
    resumed.stop_before = None
    found = run(spec, resumed)
    no_timings = {"timings": Timings()}
    assert [one.model_copy(update=no_timings) for one in found] == [
        one.model_copy(update=no_timings) for one in expected
    ]
    files = sorted(
        path.name for path in (tmp_path / "whole").iterdir() if path.suffix in {".npz", ".json"}
    )
    kept = [name for name in files if name.startswith(("magnitudes", "curves"))]
    assert len(kept) == 2 * (3 + 1)
    for name in kept:
        assert (tmp_path / "whole" / name).read_bytes() == (
            tmp_path / "resumed" / name
        ).read_bytes(), name


@pytest.mark.parametrize(
    ("parts", "pointers"),
    [
        ({"steps": []}, ["#/spec/steps"]),
        ({"steps": [0, 1]}, ["#/spec/steps/0"]),
        ({"steps": list(range(1, 35)), "epochs": 99}, ["#/spec/steps"]),
        ({"steps": [2, 2, 1]}, ["#/spec/steps/1", "#/spec/steps/2"]),
        ({"steps": [1.5, 2]}, ["#/spec/steps/0"]),
    ],
)
def test_every_invalid_step_is_an_error_with_a_pointer(
    parts: dict[str, Any], pointers: list[str]
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        make_spec(**parts)
    assert [error.pointer for error in refused.value.errors] == pointers


@pytest.mark.parametrize("source", ["embedded", "registered"])
def test_steps_beyond_the_training_are_errors_on_every_data_set(source: Any) -> None:
    info = replace(BUILTIN_DATASETS["digits"], source=source)
    spec = make_spec(steps=[1, 10, 11, 99], checkpoints={"steps": [3, 12]})
    assert [error.pointer for error in check_spec(spec, info)] == [
        "#/spec/checkpoints/steps/1",
        "#/spec/steps/2",
        "#/spec/steps/3",
    ]


def test_a_sweep_with_a_training_too_short_for_a_step_is_refused_before_anything_runs(
    tmp_path: Path,
) -> None:
    body = {"spec": SPEC, "sweep": {"epochs": [2, 1]}}
    with pytest.raises(InvalidSpec) as refused:
        run_local(body, tmp_path / "out", seeds=[0], data_dir=tmp_path, device="cpu")
    (error,) = refused.value.errors
    assert error.pointer == "#/spec/steps/2"
    assert "epochs = 1" in error.detail
    assert not (tmp_path / "out").exists()


def test_steps_are_checked_against_a_registered_data_set_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = np.zeros((40, 4, 4), np.uint8), np.arange(40) % 2
    x[:, 0, 0] = np.arange(40)
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    ctx = make_context(tmp_path / "run")
    monkeypatch.setattr(ctx, "registered_dataset", lambda name: tmp_path / "mine.npz")
    with pytest.raises(InvalidSpec) as refused:
        run(make_spec(data={"name": "mine"}, steps=[1, 3]), ctx)
    assert [error.pointer for error in refused.value.errors] == ["#/spec/steps/1"]


def test_the_number_of_batches_equals_the_batches_made() -> None:
    for batch_size in (2, 3, 15, 16, 17, 128):
        for examples in range(2, 300):
            assert num_batches(examples, batch_size) == len(batch_bounds(examples, batch_size))


@pytest.mark.parametrize("name", ["fig1a", "fig1b"])
@pytest.mark.parametrize("scale", ["paper", "quick"])
def test_figure_1_has_a_preset_at_each_scale(name: str, scale: str) -> None:
    (preset,) = (one for one in KIND.presets() if (one.name, one.scale) == (name, scale))
    (point,) = expand(preset.body["spec"], preset.body["sweep"])
    assert isinstance(point.spec, GradientSpectrumSpec)
    assert set(preset.plots) <= {plot.name for plot in KIND.plots}


def result_of(
    seed: int, near_zero: float, share: float, outcome: Any = "trained"
) -> SpectrumSeedResult:
    def step(number: int, worse: float) -> StepSpectrum:
        return StepSpectrum(
            step=number,
            p=1000,
            quantiles={"50": 0.1, "100": 1.0},
            share_of_norm={"1": 0.1, "10": share - worse},
            near_zero=near_zero - worse,
            zeros=0.0,
        )

    return SpectrumSeedResult(
        seed=seed,
        outcome=outcome,
        test_accuracy=0.9,
        initial_test_accuracy=0.1,
        train_loss=0.1,
        timings=Timings(),
        steps=(step(1, 0.0002 * seed), step(10, 0.001 * seed)),
    )


def judge(seed_results: list[SpectrumSeedResult]) -> Any:
    points = [FinishedPoint(0, {}, make_spec(), seed_results)]
    (verdict,) = judge_points(points, KIND.summarize(points))
    return verdict


def test_the_step_at_which_claim_8_holds_least_decides() -> None:
    assert judge([result_of(seed, 0.9, 0.95) for seed in range(5)]).verdict == "reproduced"
    flat = judge([result_of(seed, 0.04, 0.44) for seed in range(5)])
    assert flat.verdict == "not reproduced"
    assert flat.findings[1].value == pytest.approx(0.44 - 0.002), (
        "the lower of the two steps decides"
    )
    assert judge([result_of(seed, 0.9, 0.6) for seed in range(5)]).verdict == "not reproduced"
    assert judge([result_of(seed, 0.9, 0.95) for seed in range(2)]).verdict == "inconclusive"
    assert (
        judge([result_of(seed, 0.9, 0.95, "not_finite") for seed in range(5)]).verdict
        == "inconclusive"
    )
    assert any("digits" in line for line in flat.departures)


def test_every_point_and_step_is_drawn_with_mean_and_error_over_seeds(tmp_path: Path) -> None:
    points, contexts = [], []
    for index, width in enumerate((4, 8)):
        spec = make_spec(model={"name": "relu_net", "width": width, "depth": 1}, steps=[1, 7])
        ctx = make_context(tmp_path / str(index))
        points.append(FinishedPoint(index, {"model.width": width}, spec, run(spec, ctx)))
        contexts.append(ctx)
    source = LocalExperiment("spectra", points, list(contexts), KIND.summarize(points))
    numbers = json.loads(json.dumps(spectrum_numbers(source), allow_nan=False))
    assert [(point["p"], point["n"]) for point in numbers["points"]] == [(3190, 2), (6370, 2)]
    drawn = numbers["points"][0]["steps"][1]
    assert (drawn["step"], drawn["n"], drawn["ranks"][0], drawn["ranks"][-1]) == (7, 2, 1, 3190)
    largest = [float(read_magnitudes(contexts[0], seed, 7)[0]) for seed in (0, 1)]
    assert drawn["magnitudes"]["mean"][0] == pytest.approx(sum(largest) / 2)
    assert drawn["share_of_norm"]["mean"][-1] == pytest.approx(1.0)
    for name in ("spectrum", "share_of_norm"):
        assert save(draw(name, numbers, PlotOptions()), "png", PlotOptions()).startswith(b"\x89PNG")
        empty = draw(name, {"title": "", "points": []}, PlotOptions())
        assert save(empty, "svg", PlotOptions()).startswith(b"<?xml")
