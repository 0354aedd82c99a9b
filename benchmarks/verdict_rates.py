"""How often each judge errs, and how often it finds what is there: simulated experiments.

`python -m benchmarks.verdict_rates` writes the table of docs/explanation/verdicts.md. A simulated
experiment is made of seed results with known expected values and random noise, so that the truth
of a claim is known; nothing is trained.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from engine.experiments.activity_map.result import ActivityMapSeedResult, LayerActivity
from engine.experiments.gradient_spectrum.result import SpectrumSeedResult, StepSpectrum
from engine.experiments.lws.result import LwsSeedResult
from engine.experiments.registry import get_kind, parse_spec
from engine.experiments.reinit_sweep.result import CurveMode, ReinitSeedResult, SeedCurve
from engine.kind import FinishedPoint, Kind
from engine.own_claims.claim import OwnClaim
from engine.own_claims.judge import judge_own_claims
from engine.paper.verdict import VerdictName
from engine.result import PointResult, Timings
from engine.spec import ExperimentSpec

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "verdicts.md"
BEGIN, END = "<!-- rates begin -->", "<!-- rates end -->"
SEEDS = (3, 5, 10)
RUNS = 2_000
ERROR = 0.025
"""The most that either error may happen, at a confidence of 95 %"""
ACCURACY_NOISE = 0.01
"""Standard deviation of a test accuracy between seeds"""
TIME_NOISE = 0.05
"""Relative standard deviation of a measured time"""

Truth = Literal["true", "edge", "false", "open"]
"""`edge`: a part of the claim lies exactly at its bound, so that neither verdict is right; `open`:
the claim is too vague to call either verdict wrong."""
TRUTHS: Mapping[Truth, str] = {
    "true": "holds",
    "edge": "at a bound",
    "false": "does not hold",
    "open": "open",
}
Draw = Callable[[random.Random, int], list[FinishedPoint]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Experiments of which it is known whether they agree with a claim."""

    claim: int | OwnClaim
    """Of the paper by its number, or one as a submission makes it"""
    name: str
    truth: Truth
    kind: str
    draw: Draw
    """From a generator and a number of seeds"""

    @property
    def label(self) -> str:
        """In the table."""
        return str(self.claim) if isinstance(self.claim, int) else "own"

    @property
    def errors(self) -> tuple[VerdictName, ...]:
        """The verdicts that are wrong."""
        wrong: Mapping[Truth, tuple[VerdictName, ...]] = {
            "true": ("not reproduced",),
            "edge": ("reproduced", "not reproduced"),
            "false": ("reproduced",),
            "open": (),
        }
        return wrong[self.truth]


def count_verdicts(
    scenario: Scenario, num_seeds: int, runs: int, seed: int = 0
) -> dict[VerdictName, int]:
    """How many of `runs` experiments of `num_seeds` seeds had each verdict."""
    name = f"{scenario.label}/{scenario.name}/{num_seeds}/{seed}"
    generator = random.Random(name)  # noqa: S311 - simulated noise
    kind = get_kind(scenario.kind)
    found: dict[VerdictName, int] = {"reproduced": 0, "not reproduced": 0, "inconclusive": 0}
    for _ in range(runs):
        points = scenario.draw(generator, num_seeds)
        # The judge of re-initialisation reads the seeds alone; summaries take half of the time.
        summary = () if scenario.kind == "reinit_sweep" else kind.summarize(points)
        found[_judge(kind, points, summary, scenario.claim)] += 1
    return found


def _judge(
    kind: Kind,
    points: Sequence[FinishedPoint],
    summary: Sequence[PointResult],
    claim: int | OwnClaim,
) -> VerdictName:
    if isinstance(claim, OwnClaim):
        (own,) = judge_own_claims(kind, points, summary, [claim])
        return own.verdict
    judge = kind.load_judge()
    assert judge is not None
    (found,) = (one.verdict for one in judge(points, summary) if one.claim == claim)
    name: VerdictName = found
    return name


# --- Claims 1 to 4: curves of accuracy

FRACTIONS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 20.0, 30.0, 50.0, 70.0, 100.0)
THREE_FRACTIONS = (0.0, 10.0, 100.0)
"""All that claims 3 and 4 read"""
FLAT = (0.9,) * 11
AS_IN_THE_PAPER = (0.95, 0.92, 0.9, 0.85, 0.75, 0.65, 0.7, 0.75, 0.85, 0.88, 0.89)
SHALLOW = (0.95, 0.93, 0.92, 0.91, 0.9, 0.87, 0.9, 0.9, 0.9, 0.9, 0.9)
SPIKE = (0.95, 0.93, 0.9, 0.9, 0.87, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9)
TWO_LOWS = (0.95, 0.92, 0.9, 0.85, 0.75, 0.65, 0.7, 0.7, 0.65, 0.8, 0.89)
LATE_LOW = (0.95, 0.92, 0.9, 0.88, 0.85, 0.75, 0.7, 0.65, 0.85, 0.88, 0.89)
FALLING = (0.95, 0.92, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
HARMLESS = (0.95, 0.95, 0.9, 0.85, 0.75, 0.65, 0.7, 0.75, 0.85, 0.88, 0.89)
NARROW = (0.92, 0.85, 0.8, 0.75, 0.7, 0.5, 0.55, 0.6, 0.62, 0.64, 0.65)
RECOVERED = (0.89, 0.88, 0.88, 0.89, 0.91, 0.945, 0.95, 0.95, 0.95, 0.95, 0.95)


@cache
def _reinit_spec(width: int, fractions: tuple[float, ...]) -> ExperimentSpec:
    return parse_spec(
        {
            "kind": "reinit_sweep",
            "reset_to": {"name": "epoch", "epoch": 1},
            "model": {"name": "relu_net", "width": width, "depth": 1},
            "fractions_percent": list(fractions),
        }
    )


def _curves(
    wide: Sequence[float],
    lazy: Sequence[float] = RECOVERED,
    narrow: Sequence[float] = NARROW,
    fractions: tuple[float, ...] = FRACTIONS,
) -> Draw:
    """Sweeps of a net of width 1,000 and one of 10, by the expected accuracy at each of FRACTIONS.

    fractions: those that are drawn.
    """
    places = [FRACTIONS.index(fraction) for fraction in fractions]

    def draw(generator: random.Random, num_seeds: int) -> list[FinishedPoint]:
        return [
            FinishedPoint(
                index,
                {"model.width": width},
                _reinit_spec(width, fractions),
                [
                    _sweep(
                        generator,
                        seed,
                        fractions,
                        {
                            "active": [active[place] for place in places],
                            "lazy": [lazy[place] for place in places],
                        },
                    )
                    for seed in range(num_seeds)
                ],
            )
            for index, (width, active) in enumerate(((10, narrow), (1_000, wide)))
        ]

    return draw


def _sweep(
    generator: random.Random,
    seed: int,
    fractions: tuple[float, ...],
    curves: Mapping[CurveMode, Sequence[float]],
) -> ReinitSeedResult:
    """One seed's. Half of the noise's variance is the seed's own, half of each fraction."""
    share = ACCURACY_NOISE / 2**0.5
    own = generator.gauss(0, share)
    drawn = {
        mode: tuple(_as_accuracy(value + own + generator.gauss(0, share)) for value in curve)
        for mode, curve in curves.items()
    }
    return ReinitSeedResult.model_construct(
        seed=seed,
        outcome="trained",
        test_accuracy=drawn["active"][0],
        initial_test_accuracy=0.1,
        train_loss=0.1,
        timings=Timings(),
        notes=(),
        reused_from=None,
        num_parameters=10_000,
        sweep_seconds=1.0,
        layers=(),
        curves=tuple(
            SeedCurve.model_construct(
                mode=mode,
                fractions_percent=fractions,
                counts=tuple(round(100 * fraction) for fraction in fractions),
                test_accuracy=values,
            )
            for mode, values in drawn.items()
        ),
    )


def _as_accuracy(value: float) -> float:
    """As of 10,000 test images."""
    return min(1.0, max(0.0, round(value, 4)))


def _at(curve: Sequence[float], percent: float, value: float) -> tuple[float, ...]:
    """The curve with another value at one fraction."""
    changed = list(curve)
    changed[FRACTIONS.index(percent)] = value
    return tuple(changed)


# --- Claim 5: shares of the active set

SIZES = (100, 800, 100)


@cache
def _activity_spec(width: int) -> ExperimentSpec:
    return parse_spec(
        {"kind": "activity_map", "model": {"name": "relu_net", "width": width, "depth": 2}}
    )


def _activity(narrow: tuple[float, float], wide: tuple[float, float]) -> Draw:
    """By the expected share of the active set in the bottom and top layer; chance is 0.1."""

    def draw(generator: random.Random, num_seeds: int) -> list[FinishedPoint]:
        return [
            FinishedPoint(
                index,
                {"model.width": width},
                _activity_spec(width),
                [_count(generator, seed, shares) for seed in range(num_seeds)],
            )
            for index, (width, shares) in enumerate(((10, narrow), (1_000, wide)))
        ]

    return draw


def _count(
    generator: random.Random, seed: int, shares: tuple[float, float]
) -> ActivityMapSeedResult:
    bottom, top = (round(10_000 * (share + generator.gauss(0, 0.01))) for share in shares)
    return ActivityMapSeedResult.model_construct(
        seed=seed,
        outcome="trained",
        test_accuracy=0.9,
        initial_test_accuracy=0.1,
        train_loss=0.1,
        timings=Timings(),
        notes=(),
        reused_from=None,
        alphas_percent=(1.0,),
        num_epochs=1_000,
        tied={"1": 0},
        zeros=0,
        layers=tuple(
            LayerActivity(
                name=f"layers.{place}", shape=(size, 1), parameters=size, active={"1": count}
            )
            for place, (size, count) in enumerate(
                zip(SIZES, (bottom, 10_000 - bottom - top, top), strict=True)
            )
        ),
    )


# --- Claims 6 and 7: accuracies and times

Costs = Mapping[str, tuple[float, float]]
"""By policy: expected accuracy, and expected seconds of back-propagation"""
FORWARD_SECONDS = 0.25
"""The rest of training; full spends a second in back-propagation."""
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "full": {"name": "full"},
    "top 1": {"name": "top_k", "k": 1},
    "top 2": {"name": "top_k", "k": 2},
    "bottom 1": {"name": "bottom_q", "q": 1},
    "bottom 2": {"name": "bottom_q", "q": 2},
    "top 1 bottom 1": {"name": "top_k_bottom_q", "k": 1, "q": 1},
    "top 2 bottom 2": {"name": "top_k_bottom_q", "k": 2, "q": 2},
    "middle": {"name": "middle"},
    "all bottoms": {"name": "top_k_all_bottoms", "k": 2, "rho": 0.1},
    "all bottoms of top 1": {"name": "top_k_all_bottoms", "k": 1, "rho": 0.1},
    "all bottoms of top 4": {"name": "top_k_all_bottoms", "k": 4, "rho": 0.1},
}


@cache
def _lws_spec(policy: str) -> ExperimentSpec:
    return parse_spec({"kind": "lws", "model": {"name": "vgg5"}, "policy": dict(POLICIES[policy])})


def draw_costs(costs: Costs, *, noise: float = TIME_NOISE, is_shared: bool = False) -> Draw:
    """is_shared: all seeds of a policy share one measured time, as those of one stack do."""

    def draw(generator: random.Random, num_seeds: int) -> list[FinishedPoint]:
        return [
            FinishedPoint(
                index,
                {"policy": dict(POLICIES[policy])},
                _lws_spec(policy),
                _train(generator, num_seeds, accuracy, seconds, noise, is_shared=is_shared),
            )
            for index, (policy, (accuracy, seconds)) in enumerate(costs.items())
        ]

    return draw


def _train(
    generator: random.Random,
    num_seeds: int,
    accuracy: float,
    seconds: float,
    noise: float,
    *,
    is_shared: bool,
) -> list[LwsSeedResult]:
    def measure() -> Timings:
        return Timings(
            backward_seconds=seconds * generator.lognormvariate(0, noise),
            forward_seconds=FORWARD_SECONDS * generator.lognormvariate(0, noise),
            stacked_seeds=num_seeds if is_shared else 1,
        )

    shared = measure()
    return [
        LwsSeedResult.model_construct(
            seed=seed,
            outcome="trained",
            test_accuracy=_as_accuracy(accuracy + generator.gauss(0, ACCURACY_NOISE / 4)),
            initial_test_accuracy=0.1,
            train_loss=0.1,
            timings=shared if is_shared else measure(),
            notes=(),
            reused_from=None,
            epochs_by_lowest_layer=(1, 0, 0, 0, 0),
            cumulative_backward_seconds=(1.0,),
            cumulative_train_seconds=(1.0,),
        )
        for seed in range(num_seeds)
    ]


STATIC: Costs = {
    "full": (0.98, 1.0),
    "top 1": (0.9, 0.1),
    "top 2": (0.95, 0.3),
    "bottom 1": (0.9, 0.9),
    "bottom 2": (0.93, 0.92),
    "top 1 bottom 1": (0.94, 0.92),
    "top 2 bottom 2": (0.975, 0.95),
    "middle": (0.96, 0.85),
}
STATIC_EDGE: Costs = {
    "full": (0.98, 1.0),
    "top 1": (0.9, 1.0),
    "top 2": (0.95, 1.0),
    "bottom 1": (0.9, 1.0),
    "bottom 2": (0.93, 1.0),
    "top 1 bottom 1": (0.94, 1.25),
    "top 2 bottom 2": (0.96, 1.25),
    "middle": (0.96, 1.0),
}
DRAWN: Costs = {"full": (0.98, 1.0), "all bottoms": (0.975, 0.3)}
OTHER_K: Costs = {"all bottoms of top 1": (0.93, 0.1), "all bottoms of top 4": (0.98, 0.8)}
"""Of which neither decides: one loses accuracy, the other takes too long"""
ANY_K = ("all bottoms", *OTHER_K)
DRAWN_EDGE: Costs = {"full": (0.98, 1.0), "all bottoms": (0.96, 0.5)}
EDGE_OF_ANY_K: Costs = {**DRAWN_EDGE, **dict.fromkeys(ANY_K, (0.96, 0.5))}

# --- Claim 8: spectra

STEPS = (1, 10, 100, 1_000, 2_000, 3_000)


@cache
def _spectrum_spec() -> ExperimentSpec:
    return parse_spec({"kind": "gradient_spectrum", "model": {"name": "vgg5"}})


def _spectra(near_zero: Sequence[float], share_of_norm: Sequence[float]) -> Draw:
    """By the expected values at each step."""

    def draw(generator: random.Random, num_seeds: int) -> list[FinishedPoint]:
        results = [
            SpectrumSeedResult.model_construct(
                seed=seed,
                outcome="trained",
                test_accuracy=0.9,
                initial_test_accuracy=0.1,
                train_loss=0.1,
                timings=Timings(),
                notes=(),
                reused_from=None,
                steps=tuple(
                    StepSpectrum.model_construct(
                        step=step,
                        p=1_000,
                        quantiles={"50": 0.1, "100": 1.0},
                        share_of_norm={"10": share + generator.gauss(0, 0.01)},
                        near_zero=zero + generator.gauss(0, 0.02),
                        zeros=0.0,
                    )
                    for step, zero, share in zip(STEPS, near_zero, share_of_norm, strict=True)
                ),
            )
            for seed in range(num_seeds)
        ]
        return [FinishedPoint(0, {}, _spectrum_spec(), results)]

    return draw


# --- Claims of a submission

ACCURATE = OwnClaim(name="accurate", quantity="test_accuracy", at_least=0.97)
LOSES_LITTLE = OwnClaim(
    name="loses little", quantity="test_accuracy", point=1, versus=0, at_least=-0.02
)
HALVES = OwnClaim(name="halves", quantity="backward_ratio", point=1, at_most=0.5)

# --- All scenarios

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(1, "no effect: flat curves", "edge", "reinit_sweep", _curves(FLAT, narrow=FLAT)),
    Scenario(1, "two equal lows, at 10 and 50 %", "edge", "reinit_sweep", _curves(TWO_LOWS)),
    Scenario(1, "0.1 % does no harm", "edge", "reinit_sweep", _curves(HARMLESS)),
    Scenario(1, "falls to the end", "false", "reinit_sweep", _curves(FALLING)),
    Scenario(1, "lowest at 30 %", "open", "reinit_sweep", _curves(LATE_LOW)),
    Scenario(1, "a low of 3 points, at 3 %", "true", "reinit_sweep", _curves(SPIKE)),
    Scenario(1, "a low of 3 points, at 10 %", "true", "reinit_sweep", _curves(SHALLOW)),
    Scenario(1, "as in the paper", "true", "reinit_sweep", _curves(AS_IN_THE_PAPER)),
    Scenario(2, "no effect: flat curve", "edge", "reinit_sweep", _curves(FLAT)),
    Scenario(2, "falls to the end", "false", "reinit_sweep", _curves(FALLING)),
    Scenario(2, "rises by 3 points", "true", "reinit_sweep", _curves(SHALLOW)),
    Scenario(2, "as in the paper", "true", "reinit_sweep", _curves(AS_IN_THE_PAPER)),
    Scenario(
        3,
        "both differences are 0",
        "edge",
        "reinit_sweep",
        _curves(
            _at(AS_IN_THE_PAPER, 100.0, 0.92),
            narrow=_at(NARROW, 100.0, 0.92),
            fractions=THREE_FRACTIONS,
        ),
    ),
    Scenario(
        3,
        "width does not help at random",
        "edge",
        "reinit_sweep",
        _curves(_at(AS_IN_THE_PAPER, 100.0, 0.65), fractions=THREE_FRACTIONS),
    ),
    Scenario(
        3,
        "the narrow trained net is worse by 3 points",
        "false",
        "reinit_sweep",
        _curves(AS_IN_THE_PAPER, narrow=_at(NARROW, 0.0, 0.86), fractions=THREE_FRACTIONS),
    ),
    Scenario(
        3,
        "better by 24 and by 3 points",
        "true",
        "reinit_sweep",
        _curves(AS_IN_THE_PAPER, fractions=THREE_FRACTIONS),
    ),
    Scenario(
        4,
        "2 points are missing",
        "edge",
        "reinit_sweep",
        _curves(AS_IN_THE_PAPER, _at(RECOVERED, 10.0, 0.93), fractions=THREE_FRACTIONS),
    ),
    Scenario(
        4,
        "5 points are missing",
        "false",
        "reinit_sweep",
        _curves(AS_IN_THE_PAPER, _at(RECOVERED, 10.0, 0.90), fractions=THREE_FRACTIONS),
    ),
    Scenario(
        4,
        "0.5 points are missing",
        "true",
        "reinit_sweep",
        _curves(AS_IN_THE_PAPER, fractions=THREE_FRACTIONS),
    ),
    Scenario(5, "no effect", "edge", "activity_map", _activity((0.1, 0.1), (0.1, 0.1))),
    Scenario(5, "the top does not grow", "edge", "activity_map", _activity((0.1, 0.3), (0.3, 0.3))),
    Scenario(5, "the wrong direction", "false", "activity_map", _activity((0.3, 0.3), (0.1, 0.1))),
    Scenario(5, "from 1 to 1.5 times", "true", "activity_map", _activity((0.1, 0.1), (0.15, 0.15))),
    Scenario(6, "all parts at their bounds", "edge", "lws", draw_costs(STATIC_EDGE)),
    Scenario(
        6,
        "all parts at their bounds, times vary by 15 %",
        "edge",
        "lws",
        draw_costs(STATIC_EDGE, noise=0.15),
    ),
    Scenario(
        6,
        "top 2 as slow as bottom 2",
        "edge",
        "lws",
        draw_costs({**STATIC, "top 2": (0.95, 0.92)}),
    ),
    Scenario(
        6, "top 2 slower by 20 %", "false", "lws", draw_costs({**STATIC, "top 2": (0.95, 1.104)})
    ),
    Scenario(6, "as in the paper", "true", "lws", draw_costs(STATIC)),
    Scenario(7, "all parts at their bounds", "edge", "lws", draw_costs(DRAWN_EDGE)),
    Scenario(
        7,
        "all parts at their bounds, times vary by 15 %",
        "edge",
        "lws",
        draw_costs(DRAWN_EDGE, noise=0.15),
    ),
    Scenario(
        7,
        "back-propagation takes half the time",
        "edge",
        "lws",
        draw_costs({**DRAWN, "all bottoms": (0.98, 0.5)}),
    ),
    Scenario(
        7,
        "as in the paper, one measurement for all seeds",
        "true",
        "lws",
        draw_costs(DRAWN, is_shared=True),
    ),
    Scenario(
        7,
        "back-propagation takes 0.7 of the time",
        "false",
        "lws",
        draw_costs({**DRAWN, "all bottoms": (0.98, 0.7)}),
    ),
    Scenario(7, "as in the paper", "true", "lws", draw_costs(DRAWN)),
    Scenario(
        7,
        "as in the paper at k = 2, not at k = 1 and 4",
        "true",
        "lws",
        draw_costs({**DRAWN, **OTHER_K}),
    ),
    Scenario(7, "all parts of three k at their bounds", "edge", "lws", draw_costs(EDGE_OF_ANY_K)),
    Scenario(
        7,
        "one part of each of three k at its bound",
        "edge",
        "lws",
        draw_costs({**DRAWN, **dict.fromkeys(ANY_K, (0.96, 0.3))}),
    ),
    Scenario(
        7,
        "back-propagation of three k takes 0.7 of the time",
        "false",
        "lws",
        draw_costs({**DRAWN, **dict.fromkeys(ANY_K, (0.98, 0.7))}),
    ),
    Scenario(
        8,
        "every step at both bounds",
        "edge",
        "gradient_spectrum",
        _spectra((0.5,) * 6, (0.9,) * 6),
    ),
    Scenario(
        8,
        "one step at a bound",
        "edge",
        "gradient_spectrum",
        _spectra((0.8,) * 6, (0.95,) * 5 + (0.9,)),
    ),
    Scenario(
        8,
        "one step is not skewed",
        "false",
        "gradient_spectrum",
        _spectra((0.8,) * 5 + (0.4,), (0.95,) * 6),
    ),
    Scenario(8, "skewed", "true", "gradient_spectrum", _spectra((0.6,) * 6, (0.93,) * 6)),
    Scenario(ACCURATE, "an accuracy at its bound", "edge", "lws", draw_costs({"full": (0.97, 1)})),
    Scenario(
        ACCURATE, "an accuracy 2 points short", "false", "lws", draw_costs({"full": (0.95, 1)})
    ),
    Scenario(
        ACCURATE, "an accuracy 1 point beyond", "true", "lws", draw_costs({"full": (0.98, 1)})
    ),
    Scenario(LOSES_LITTLE, "a difference at its bound", "edge", "lws", draw_costs(DRAWN_EDGE)),
    Scenario(
        LOSES_LITTLE,
        "a difference 1 point beyond its bound",
        "false",
        "lws",
        draw_costs({**DRAWN, "all bottoms": (0.95, 0.3)}),
    ),
    Scenario(
        LOSES_LITTLE,
        "a difference of 0.5 where 2 points are allowed",
        "true",
        "lws",
        draw_costs(DRAWN),
    ),
    Scenario(HALVES, "a ratio at its bound", "edge", "lws", draw_costs(DRAWN_EDGE)),
    Scenario(
        HALVES,
        "a ratio of 0.7 where 0.5 is allowed",
        "false",
        "lws",
        draw_costs({**DRAWN, "all bottoms": (0.98, 0.7)}),
    ),
    Scenario(HALVES, "a ratio of 0.3 where 0.5 is allowed", "true", "lws", draw_costs(DRAWN)),
)


def read_rates() -> dict[tuple[str, str], list[tuple[float, float]]]:
    """The page's table: by claim and name, (reproduced, not reproduced) in percent by `SEEDS`."""
    table = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    found = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 + len(SEEDS) and "/" in cells[-1]:
            rates = [cell.split("/") for cell in cells[3:]]
            found[cells[0], cells[1]] = [(float(one), float(other)) for one, other in rates]
    return found


def write_table(runs: int = RUNS) -> Iterator[str]:
    """The lines of the table."""
    yield f"Percent of {runs:,} simulated experiments: reproduced / not reproduced."
    yield ""
    yield f"| Claim | Simulated | Truth | {' | '.join(f'{n} seeds' for n in SEEDS)} |"
    yield f"|---|---|---|{'---|' * len(SEEDS)}"
    for scenario in SCENARIOS:
        cells = []
        for num_seeds in SEEDS:
            found = count_verdicts(scenario, num_seeds, runs)
            rates = (found["reproduced"], found["not reproduced"])
            cells.append(" / ".join(f"{100 * count / runs:.1f}" for count in rates))
        truth = TRUTHS[scenario.truth]
        yield f"| {scenario.label} | {scenario.name} | {truth} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict_rates", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--print", action="store_true", help="print the table, write nothing")
    chosen = parser.parse_args()
    started = time.perf_counter()
    lines = []
    for line in write_table(chosen.runs):
        lines.append(line)
        print(line, flush=True)
    print(f"{time.perf_counter() - started:.0f} s")
    if not chosen.print:
        text = PAGE.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        _, tail = rest.split(END)
        table = "\n".join(lines)
        PAGE.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
