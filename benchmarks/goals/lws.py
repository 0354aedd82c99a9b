"""Layer-wise sparse SGD compared with vanilla SGD in the same engine: times and equal bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.engine_runs import make_context, run_kind
from benchmarks.figures import Figure, Goal, at_most, spread
from benchmarks.images import write_colour_images
from benchmarks.interleave import interleave, share, speed_up
from benchmarks.options import Options
from engine.data.spec import DatasetInfo
from engine.experiments.lws.result import LwsSeedResult
from engine.experiments.lws.spec import LwsSpec
from engine.models.layout import LayerLayout, layout
from engine.training.layer_schedule import EpochSchedule, draw_schedule
from engine.training.policies import PolicySpec

WIDTH = 0.5
CANDIDATE_SEEDS = range(300)
DATASET = "colour"
UNCACHED = ", no cache"
FULL: Mapping[str, Any] = {"name": "full"}


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    spec: Mapping[str, Any]
    total: Goal
    limit: str


POLICIES = (
    Policy(
        "Top 1 All Bottoms",
        {"name": "top_k_all_bottoms", "k": 1, "rho": 0.1},
        at_most(0.14),
        ".130",
    ),
    Policy(
        "Top 4 All Bottoms",
        {"name": "top_k_all_bottoms", "k": 4, "rho": 0.1},
        at_most(0.18),
        ".168",
    ),
    Policy("Random-Beta", {"name": "random_beta"}, at_most(0.12), ".117"),
    Policy("Random-Uniform", {"name": "random_uniform"}, at_most(0.45), ".468"),
)


@dataclass(frozen=True, slots=True)
class Length:
    """Epochs and number of training images; the test set is a fifth as large, as for CIFAR-10."""

    epochs: int
    num_train: int

    @property
    def num_test(self) -> int:
        return self.num_train // 5


WHOLE = Length(180, 256)
"""As many epochs as in the paper. With fewer, steps without the cache would be a larger share."""
SHORT = Length(40, 512)


class Vgg:
    """VGG of the paper's depth and half its width, on images of CIFAR-10's shape."""

    def __init__(self, options: Options, name: str, length: Length) -> None:
        self._options = options
        self._model = {"name": name, "width_multiplier": WIDTH}
        self.title = {"vgg5": "VGG-5", "vgg11": "VGG-11"}[name]
        if options.smoke:
            length = Length(10, 130)
        self.epochs, num_train, num_test = length.epochs, length.num_train, length.num_test
        path = options.work_dir / f"{num_train}.npz"
        if not path.exists():
            write_colour_images(path, num_train, num_test)
        self._registered: dict[str, Path] = {DATASET: path}
        info = DatasetInfo(DATASET, DATASET, (3, 32, 32), 10, num_train, num_test, "registered")
        spec = self.spec(FULL)
        self.layers = layout(spec.model, info)
        self._num_layers = len(self.layers)

    def spec(self, policy: Mapping[str, Any]) -> LwsSpec:
        optimizer = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
        return LwsSpec.model_validate(
            {
                "data": {"name": DATASET},
                "model": self._model,
                "optimizer": optimizer,
                "policy": dict(policy),
                "epochs": self.epochs,
            }
        )

    def train(
        self, policy: Mapping[str, Any], seed: int, **execution: Any
    ) -> tuple[LwsSeedResult, bytes]:
        """Returns the result and the bytes of the final weights."""
        ctx = make_context(self._options, [seed], registered=self._registered, **execution)
        (seed_result,) = run_kind(self.spec(policy), ctx)
        weights = ctx.read_artifact(seed, "theta_T.safetensors")
        assert weights is not None
        ctx.discard()
        return seed_result, weights

    def typical_seed(self, policy: Mapping[str, Any]) -> int:
        """The seed whose schedule needs the number of FLOPs closest to the policy's average."""
        by_seed = {seed: self.expected(self.schedule(policy, seed)) for seed in CANDIDATE_SEEDS}
        average = mean(by_seed.values())
        return min(by_seed, key=lambda seed: abs(by_seed[seed] - average))

    def schedule(self, policy: Mapping[str, Any], seed: int) -> EpochSchedule:
        parsed: PolicySpec = self.spec(policy).policy
        schedule = draw_schedule(parsed, self._num_layers, self.epochs, seed)
        assert isinstance(schedule, EpochSchedule)
        return schedule

    def expected(self, schedule: EpochSchedule) -> float:
        """The schedule's share of full training's FLOPs, with the cache: the best possible time."""
        return count_flops(schedule, self.layers) / (schedule.num_epochs * full_flops(self.layers))


def full_flops(layers: Sequence[LayerLayout]) -> float:
    """FLOPs of one image's step.

    The backward pass costs two forward passes, less the gradient of the image itself.
    """
    return 3.0 * sum(layer.forward_flops for layer in layers) - layers[0].forward_flops


def count_flops(schedule: EpochSchedule, layers: Sequence[LayerLayout]) -> float:
    """FLOPs of one image over the schedule: forward from the cached level, backward to the lowest
    trained layer."""
    forward = [layer.forward_flops for layer in layers]
    total, before = 0.0, 0
    for epoch in range(schedule.num_epochs):
        lowest = schedule.lowest(epoch)
        start = min(before, lowest)
        # The input of the lowest layer needs no gradient.
        backward = 2 * sum(forward[lowest:]) - forward[lowest]
        total += sum(forward[start:]) + backward
        before = lowest
    return total


def measure(options: Options) -> Iterator[Figure]:
    yield from _policies(options, Vgg(options, "vgg11", WHOLE))
    yield from _with_tests(options, Vgg(options, "vgg5", WHOLE), 0.16, ".145")
    for name in ("vgg11", "vgg5"):
        yield from _backward(options, Vgg(options, name, SHORT))


def _policies(options: Options, vgg: Vgg) -> Iterator[Figure]:
    seeds = {policy.name: vgg.typical_seed(policy.spec) for policy in POLICIES}
    seed_results: dict[str, list[LwsSeedResult]] = {"full": []}
    weights: dict[str, set[bytes]] = {}

    def runner(name: str, spec: Mapping[str, Any], seed: int, **execution: Any) -> Any:
        def run() -> float:
            seed_result, theta = vgg.train(spec, seed, **execution)
            seed_results.setdefault(name, []).append(seed_result)
            weights.setdefault(name.removesuffix(UNCACHED), set()).add(theta)
            return seed_result.timings.train_seconds

        return run

    candidates = {"full": runner("full", FULL, 0)}
    for policy in POLICIES:
        candidates[policy.name] = runner(policy.name, policy.spec, seeds[policy.name])
    first = POLICIES[0]
    candidates[first.name + UNCACHED] = runner(
        first.name + UNCACHED, first.spec, seeds[first.name], prefix_cache=False
    )
    found = interleave(candidates, options.rounds(3), warm_up=False)
    for policy in POLICIES:
        possible = vgg.expected(vgg.schedule(policy.spec, seeds[policy.name]))
        yield share(
            f"VGG-11, {policy.name}, rho = 0.1, total training",
            found[policy.name],
            found["full"],
            baseline="vanilla SGD in the same engine",
            goal=policy.total,
            limit=policy.limit,
            note=f"the drawn schedule needs {possible:.3f} of the FLOPs; "
            f"{vgg.epochs} epochs, half width",
        )
    with_tests = {
        name: [
            seed_result.timings.train_seconds + seed_result.timings.evaluation_seconds
            for seed_result in seed_results[name]
        ]
        for name in ("full", first.name)
    }
    yield share(
        "VGG-11, Top 1 All Bottoms, rho = 0.1, with tests",
        with_tests[first.name],
        with_tests["full"],
        baseline="vanilla SGD in the same engine, tested after every epoch too",
        goal=at_most(0.15),
        limit=".134",
    )
    yield speed_up(
        "VGG-11, Top 1 All Bottoms: the frozen-prefix cache",
        found[first.name],
        found[first.name + UNCACHED],
        baseline="the same training with `prefix_cache` off",
    )
    yield Figure(
        name="distinct final weights for one policy and seed, with and without the cache",
        baseline="",
        unit="distinct",
        value=spread([float(max(map(len, weights.values())))]),
        goal=at_most(1),
    )


def _with_tests(options: Options, vgg: Vgg, goal: float, limit: str) -> Iterator[Figure]:
    spec = POLICIES[0].spec
    seed = vgg.typical_seed(spec)

    def run(policy: Mapping[str, Any], chosen: int) -> float:
        timings = vgg.train(policy, chosen)[0].timings
        return timings.train_seconds + timings.evaluation_seconds

    found = interleave(
        {"full": partial(run, FULL, 0), "sparse": partial(run, spec, seed)},
        options.rounds(3),
        warm_up=False,
    )
    yield share(
        f"{vgg.title}, Top 1 All Bottoms, rho = 0.1, with tests",
        found["sparse"],
        found["full"],
        baseline="vanilla SGD in the same engine, tested after every epoch too",
        goal=at_most(goal),
        limit=limit,
    )


def _backward(options: Options, vgg: Vgg) -> Iterator[Figure]:
    """The backward pass alone, for seeds whose drawn share of full epochs is closest to rho."""
    rhos = (0.1, 0.2, 0.3, 0.4, 0.5)
    specs = {rho: {"name": "top_k_all_bottoms", "k": 1, "rho": rho} for rho in rhos}

    def drawn_share(rho: float, seed: int) -> float:
        trained = vgg.schedule(specs[rho], seed).trained
        return sum(0 in layers for layers in trained) / len(trained)

    def backward(spec: Mapping[str, Any], seed: int) -> float:
        return vgg.train(spec, seed)[0].timings.backward_seconds

    def nearest_seed(rho: float) -> int:
        return min(CANDIDATE_SEEDS, key=lambda seed: abs(drawn_share(rho, seed) - rho))

    seeds = {rho: nearest_seed(rho) for rho in rhos}
    candidates = {"full": partial(backward, FULL, 0)}
    candidates |= {f"{rho}": partial(backward, specs[rho], seeds[rho]) for rho in rhos}
    found = interleave(candidates, options.rounds(2), warm_up=False)
    for rho in rhos:
        yield share(
            f"{vgg.title}, Top 1 All Bottoms, rho = {rho}, backward",
            found[f"{rho}"],
            found["full"],
            baseline="backward of vanilla SGD",
            goal=at_most(round(rho * 1.05, 4)),
            limit=f"{drawn_share(rho, seeds[rho]):.3f} drawn",
        )
