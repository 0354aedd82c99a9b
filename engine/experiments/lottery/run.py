"""The procedure of the lottery ticket: train, prune, rewind and train again, round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch

from engine.context import RunContext
from engine.data.resident import resident_data
from engine.determinism import deterministic
from engine.experiments.lottery.result import LotterySeedResult, SeedSeries
from engine.experiments.lottery.spec import LotterySpec, Series
from engine.experiments.lottery.tickets import Tickets
from engine.models.layout import layout
from engine.result import SeedResult
from engine.spec import canonical_json
from engine.training.masked import MaskedStart
from engine.training.outcome import TrainedSeed
from engine.training.phases import MaskedTraining, Phases

Trainings = Mapping[tuple[Series, int], MaskedTraining]
"""Of one seed, by series and round"""


def run(spec: LotterySpec, ctx: RunContext) -> Sequence[SeedResult]:
    """Train every seed of the context, then its pruned nets round by round.

    Stores each seed's `rounds.json`: how many weights of each tensor are left by round, and what
    each training logged by epoch. A killed run resumes in the training that it was in.
    """
    device = torch.device(ctx.execution.device)
    allow_tf32 = spec.precision(ctx.execution) == "tf32"
    with deterministic(ctx.execution.deterministic, ctx.execution.threads, allow_tf32=allow_tf32):
        data = resident_data(spec.data, device, ctx)
        layers = layout(spec.model, data.info)
        phases = Phases(spec, ctx, spec.rounds * len(spec.series))
        plain = phases.train_plain()
        tickets = {one.seed: Tickets(spec, ctx, data, one, phases.kept) for one in plain}
        found = {
            (series, number): phases.train_masked(
                _name(series, number),
                partial(_start, tickets, series, number),
                partial(_prune, tickets, number) if series == "ticket" else None,
            )
            for number in range(1, spec.rounds + 1)
            for series in spec.series
        }
        left = spec.list_left(layers)
        for seed in ctx.seeds:
            stored = {"left": left, "by_epoch": phases.curves(seed)}
            content = canonical_json(stored).encode()
            ctx.save_artifact("rounds.json", seed, "application/json", content)
        counts = spec.count_left(layers)
        return [
            _fill_result(
                spec, counts, one, {pair: by_seed[one.seed] for pair, by_seed in found.items()}
            )
            for one in plain
        ]


def _name(series: Series, number: int) -> str:
    return f"{series} {number}"


def _start(tickets: Mapping[int, Tickets], series: Series, number: int, seed: int) -> MaskedStart:
    return tickets[seed].start(series, number)


def _prune(tickets: Mapping[int, Tickets], number: int, trained: TrainedSeed) -> None:
    tickets[trained.seed].prune(number, trained)


def _fill_result(
    spec: LotterySpec, counts: Sequence[int], trained: TrainedSeed, found: Trainings
) -> LotterySeedResult:
    whole, *left = counts
    rounds = range(1, spec.rounds + 1)
    curves = tuple(
        SeedSeries(
            series=series,
            left_percent=tuple(100 * count / whole for count in left),
            counts=tuple(left),
            test_accuracy=tuple(found[series, number].test_accuracy for number in rounds),
            stop_epoch=tuple(found[series, number].best_epoch for number in rounds),
        )
        for series in spec.series
    )
    fields = trained.result_fields()
    notes = [*fields["notes"], *(note for one in found.values() for note in one.notes)]
    lost = [_name(*pair) for pair, one in found.items() if one.outcome == "not_finite"]
    if lost:
        notes.append(f"the loss of these trainings was not finite: {', '.join(lost)}")
    return LotterySeedResult(
        **{**fields, "notes": tuple(dict.fromkeys(notes))},
        num_weights=whole,
        curves=curves,
        pruned_seconds=sum(one.train_seconds for one in found.values()),
        stacked_seeds=max((one.stacked_seeds for one in found.values()), default=1),
    )
