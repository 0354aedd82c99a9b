"""A re-initialisation sweep of 40 fractions in both modes, compared with one dense evaluation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.baselines.dense_evaluation import count_correct
from benchmarks.engine_runs import make_context, train_seeds
from benchmarks.figures import Figure, at_most
from benchmarks.interleave import interleave, share, timed
from benchmarks.options import Options
from engine.analysis.fractions import default_grid, distinct_counts
from engine.analysis.mixture import Mixtures
from engine.analysis.movement import magnitude_bits, rank_magnitudes
from engine.analysis.reinit import sweep_accuracies
from engine.data.resident import ResidentData, resident_data
from engine.data.spec import DataSpec
from engine.models.build import build_model
from engine.models.net import LayeredNet
from engine.models.spec import ReluNetSpec
from engine.training.outcome import TrainedSeed

WIDTHS = (1_000, 4_000)
EVALUATIONS_PER_SAMPLE = 5


@dataclass(frozen=True, slots=True)
class TrainedNet:
    model: ReluNetSpec
    net: LayeredNet
    data: ResidentData
    trained: TrainedSeed

    def mixtures(self, percents: tuple[float, ...]) -> Mixtures:
        size = sum(parameter.numel() for parameter in self.net.parameters())
        return Mixtures(
            self.net, self.trained.theta_0, self.trained.theta_T, distinct_counts(percents, size)
        )

    def movement(self) -> Tensor:
        """theta_T - theta_0 [p]"""
        names = [name for name, _ in self.net.named_parameters()]
        return torch.cat(
            [
                (self.trained.theta_T[name] - self.trained.theta_0[name]).reshape(-1)
                for name in names
            ]
        )

    def evaluate_densely(self) -> float:
        """Seconds of one evaluation of the trained net."""
        self.net.load_state_dict(self.trained.theta_T)
        began = time.perf_counter()
        for _ in range(EVALUATIONS_PER_SAMPLE):
            count_correct(self.net, self.data.x_test[:], self.data.y_test)
        return (time.perf_counter() - began) / EVALUATIONS_PER_SAMPLE


def train_net(options: Options, width: int) -> TrainedNet:
    """Train two epochs, after which the movements of the parameters have all magnitudes."""
    spec = {"data": options.digits(), "model": {"name": "relu_net", "width": width}, "epochs": 2}
    (trained,) = train_seeds(options, spec, [0])
    ctx = make_context(options, [0])
    data = resident_data(DataSpec.model_validate(options.digits()), "cpu", ctx)
    model = ReluNetSpec(width=width)
    return TrainedNet(model, build_model(model, data.info), data, trained)


def sweep(net: TrainedNet, percents: tuple[float, ...]) -> None:
    """Rank the movements, build the mixtures and evaluate both modes."""
    sweep_accuracies(net.mixtures(percents), net.model, net.data, ("active", "lazy"))


def measure(options: Options) -> Iterator[Figure]:
    grid = default_grid()
    for width in WIDTHS[: options.size(len(WIDTHS), 1)]:
        net = train_net(options, options.size(width, 50))
        moved = magnitude_bits(net.movement())
        counts = distinct_counts(grid, len(moved))
        found = interleave(
            {
                "dense": net.evaluate_densely,
                "sweep": timed(sweep, net, grid),
                "ranking": timed(rank_magnitudes, moved, counts),
            },
            options.rounds(5 if width == WIDTHS[0] else 3),
        )
        yield share(
            f"{len(grid)} fractions x 2 modes, w={width:,} d=1",
            found["sweep"],
            found["dense"],
            baseline="one evaluation of the trained net "
            "(a naive sweep: 80 of them and 80 mixtures)",
            goal=at_most(35),
            limit="3 to 4",
            note=f"{len(net.data.y_test):,} images of {options.data_description}",
        )
        yield share(
            f"ranking for all {len(counts)} fractions, w={width:,} d=1",
            found["ranking"],
            found["sweep"],
            baseline="the whole sweep",
            goal=at_most(0.02),
        )
