"""Scaling of cost with width, stacked seeds, fractions of a sweep and points of an experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from benchmarks.figures import Figure
from benchmarks.goals.relu_seeds import per_seed_epoch
from benchmarks.goals.sweep import sweep, train_net
from benchmarks.interleave import TimedRun, interleave, share, timed
from benchmarks.options import Options
from benchmarks.service_process import Service, tiny_experiment, wait_for_end
from engine.analysis.fractions import default_grid


def measure(options: Options) -> Iterator[Figure]:
    widths = (10, 30, 100, 300, 1_000, 3_000)[: options.size(6, 2)]
    yield from _compare_with_first(
        options,
        "one seed and epoch at width {}, d=1, 5 seeds stacked",
        {
            str(width): per_seed_epoch(options, width, 1, 4 if width <= 100 else 1)
            for width in widths
        },
    )
    yield from _compare_with_first(
        options,
        "one seed and epoch with {} seeds stacked, w=100 d=1",
        {
            str(count): per_seed_epoch(options, 100, 1, 4, seeds=tuple(range(count)))
            for count in (1, 2, 5, 10, 20)[: options.size(5, 2)]
        },
    )
    net = train_net(options, options.size(1_000, 50))
    grid = default_grid()
    finer = tuple(sorted({*grid, *(low / 2 + high / 2 for low, high in pairwise(grid))}))
    grids = {str(len(one)): one for one in (grid[::4], grid[::2], grid, finer)}
    yield from _compare_with_first(
        options,
        "a sweep of {} fractions x 2 modes, w=1,000 d=1",
        {name: timed(sweep, net, one) for name, one in grids.items()},
    )
    with Service(options.work_dir / "home_of_points") as service:
        client = service.connect()

        def points(count: int) -> TimedRun:
            body = {**tiny_experiment(0), "sweep": {"model.width": list(range(10, 10 + count))}}
            return timed(lambda: wait_for_end(client, [client.post("/experiments", body)["id"]]))

        counts = (10, 30, 100)[: options.size(3, 1)]
        yield from _compare_with_first(
            options,
            "an experiment of {} tiny points",
            {str(count): points(count) for count in counts},
        )


def _compare_with_first(
    options: Options, name: str, candidates: Mapping[str, TimedRun]
) -> Iterator[Figure]:
    """Figures of each candidate relative to the first one."""
    found = interleave(candidates, options.rounds(3))
    first = next(iter(found))
    for key, seconds in found.items():
        yield share(name.format(key), seconds, found[first], baseline=f"the same with {first}")
