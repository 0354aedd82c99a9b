"""Every judge keeps its error rates, and finds what is there, in simulated experiments.

The same simulation with more runs writes the table of docs/explanation/verdicts.md.
"""

from __future__ import annotations

import pytest
from scipy.stats import binom

from benchmarks.verdict_rates import (
    BEGIN,
    END,
    ERROR,
    PAGE,
    RUNS,
    SCENARIOS,
    SEEDS,
    STATIC,
    Scenario,
    count_verdicts,
    draw_costs,
)
from engine.analysis.low_point import LowestDifference

CHANCE_OF_FAILING = 1e-5
"""Of each comparison, at the highest error rate that is allowed"""
NAMES = [f"{one.claim} {one.name}" for one in SCENARIOS]


def check(scenario: Scenario, num_seeds: int, runs: int) -> None:
    found = count_verdicts(scenario, num_seeds, runs)
    most = binom.isf(CHANCE_OF_FAILING, runs, ERROR)
    for wrong in scenario.errors:
        assert found[wrong] <= most, (num_seeds, found)
    if scenario.truth == "true":
        assert found["reproduced"] >= found["not reproduced"], (num_seeds, found)


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
    for claim in range(1, 9):
        truths = {one.truth for one in SCENARIOS if one.claim == claim}
        assert {"true", "edge", "false"} <= truths


def test_the_table_of_the_page_lists_every_scenario() -> None:
    table = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    for scenario in SCENARIOS:
        assert f"| {scenario.claim} | {scenario.name} |" in table


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
