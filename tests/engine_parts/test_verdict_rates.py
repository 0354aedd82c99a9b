"""Every judge keeps its error rates, and finds what is there, in simulated experiments.

The same simulation with more runs writes the table of docs/explanation/verdicts.md.
"""

from __future__ import annotations

import pytest
from scipy.stats import binom, fisher_exact

from benchmarks.verdict_rates import (
    ERROR,
    RUNS,
    SCENARIOS,
    SEEDS,
    STATIC,
    Scenario,
    count_verdicts,
    draw_costs,
    read_rates,
)
from engine.analysis.low_point import LowestDifference
from engine.paper.verdict import VerdictName

CHANCE_OF_FAILING = 1e-5
"""Of each comparison, at the highest error rate that is allowed"""
NAMES = [f"{one.label} {one.name}" for one in SCENARIOS]


def check(scenario: Scenario, num_seeds: int, runs: int) -> None:
    """Wrong verdicts are as rare as they must be, and both are as frequent as the page says."""
    found = count_verdicts(scenario, num_seeds, runs)
    most = binom.isf(CHANCE_OF_FAILING, runs, ERROR)
    for wrong in scenario.errors:
        assert found[wrong] <= most, (num_seeds, found)
    published = read_rates()[scenario.label, scenario.name][SEEDS.index(num_seeds)]
    names: tuple[VerdictName, ...] = ("reproduced", "not reproduced")
    for name, percent in zip(names, published, strict=True):
        told = round(percent * RUNS / 100)
        table = [[found[name], runs - found[name]], [told, RUNS - told]]
        assert fisher_exact(table).pvalue > CHANCE_OF_FAILING, (num_seeds, found, published)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_a_judge_keeps_its_error_rates(scenario: Scenario) -> None:
    check(scenario, 5, 40)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("num_seeds", SEEDS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_a_judge_keeps_its_error_rates_in_all_runs(scenario: Scenario, num_seeds: int) -> None:
    check(scenario, num_seeds, RUNS)


def test_every_claim_is_simulated_at_a_bound_and_where_it_holds() -> None:
    for label in (*map(str, range(1, 9)), "own"):
        truths = {one.truth for one in SCENARIOS if one.label == label}
        assert {"true", "edge", "false"} <= truths


def test_the_table_of_the_page_lists_every_scenario() -> None:
    assert list(read_rates()) == [(one.label, one.name) for one in SCENARIOS]


def test_a_judge_that_never_decides_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    (holds,) = (one for one in SCENARIOS if one.label == "7" and one.name == "as in the paper")
    check(holds, 5, 40)
    monkeypatch.setattr("engine.paper.verdict.MIN_SEEDS", 1_000)
    with pytest.raises(AssertionError):
        check(holds, 5, 40)


def test_an_interval_that_does_not_pay_for_the_choice_finds_rises_in_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lowest of a flat curve, chosen by the data and then tested as if it had been named."""
    (flat,) = (one for one in SCENARIOS if one.name == "no effect: flat curve")
    paid = count_verdicts(flat, 10, 300)["reproduced"]

    def interval(self: LowestDifference, confidence: float) -> tuple[float, float]:
        means = [sum(row) for row in self.inside]
        chosen = [self.inside[means.index(min(means))]]
        return honest(LowestDifference(chosen, self.outside), confidence)

    honest = LowestDifference.interval
    monkeypatch.setattr(LowestDifference, "interval", interval)
    unpaid = count_verdicts(flat, 10, 300)["reproduced"]
    assert paid <= binom.isf(CHANCE_OF_FAILING, 300, ERROR)
    assert unpaid > binom.isf(CHANCE_OF_FAILING, 300, ERROR)


def test_one_measured_time_of_all_seeds_decides_nothing_about_times() -> None:
    """The seeds of a stack share one measurement, however many they are."""
    shared = Scenario(6, "shared", "true", "lws", draw_costs(STATIC, is_shared=True))
    assert count_verdicts(shared, 10, 20)["inconclusive"] == 20
    apart = Scenario(6, "apart", "true", "lws", draw_costs(STATIC))
    assert count_verdicts(apart, 10, 20)["reproduced"] == 20
