"""A training beside other programs that always compute, against the same training alone.

As shipped, and with threads that keep their cores busy while they wait, as torch's do by default.
With `--peers` JAX beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from benchmarks.figures import Figure, at_most
from benchmarks.goals.relu_seeds import SEEDS
from benchmarks.interleave import TimedRun, interleave, share
from benchmarks.options import Options
from benchmarks.served_script import Jax, ServedScript, busy_loops, served_engine

GOALS = {1: 2.0, 2: 2.5, 4: 3.5}
"""By number of busy programs: how many times as long a training may take"""
EPOCHS = 4
ROUNDS = 5


def measure(options: Options) -> Iterator[Figure]:
    epochs = options.size(EPOCHS, 1)
    spec: dict[str, Any] = {
        "data": options.digits(),
        "model": {"name": "relu_net", "width": 100, "depth": 1},
        "epochs": epochs,
    }
    with ExitStack() as stack:
        scripts: dict[str, ServedScript] = {
            f"{threads} thread{'s' * (threads > 1)}": served_engine(options, spec, SEEDS, threads)
            for threads in (1, 2)
        }
        scripts["2 threads that wait actively, as before"] = served_engine(
            options, spec, SEEDS, 2, brief=False
        )
        if options.peers:
            jax = Jax(options)
            scripts["JAX"] = jax.serve(100, 1, len(SEEDS), epochs, "vmap")
        for script in scripts.values():
            stack.enter_context(script)
        alone = {name: script.train for name, script in scripts.items()}
        candidates: dict[str, TimedRun] = {
            f"{name}, {number}": _beside(script, number)
            for name, script in scripts.items()
            for number in (0, *GOALS)
        }
        for run in alone.values():
            run()
        found = interleave(candidates, options.rounds(ROUNDS), warm_up=False)
    yield from _figures(found, scripts)


def _beside(script: ServedScript, number: int) -> TimedRun:
    def run() -> float:
        with busy_loops(number):
            return script.train()

    return run


def _figures(
    found: Mapping[str, list[float]], scripts: Mapping[str, ServedScript]
) -> Iterator[Figure]:
    first = next(iter(scripts))
    for name in scripts:
        is_ours = "thread" in name and "before" not in name
        if name != first:
            yield share(
                f"5 seeds, w=100 d=1, alone, {name}",
                found[f"{name}, 0"],
                found[f"{first}, 0"],
                baseline=f"the engine with {first}",
            )
        for number, goal in GOALS.items():
            yield share(
                f"5 seeds, w=100 d=1, beside {number} busy programs, {name}",
                found[f"{name}, {number}"],
                found[f"{name}, 0"],
                baseline="the same alone",
                goal=at_most(goal) if is_ours else None,
            )
