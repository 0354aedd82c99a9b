"""A re-initialisation sweep of 79.5 million parameters on a GPU."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.engine_runs import choose_gpu, make_context, run_kind
from benchmarks.figures import Figure, at_most, in_seconds
from benchmarks.interleave import interleave
from benchmarks.options import Options
from engine.experiments.reinit_sweep.spec import ReinitSweepSpec


def measure(options: Options) -> Iterator[Figure]:
    device = choose_gpu(options)
    if device is None:
        return
    width = options.size(100_000, 50)
    spec = ReinitSweepSpec.model_validate(
        {
            "data": options.digits(),
            "model": {"name": "relu_net", "width": width},
            "epochs": 1,
        }
    )

    def swept() -> float:
        ctx = make_context(options, [0], device=device)
        (seed_result,) = run_kind(spec, ctx)
        ctx.discard()
        seconds: float = seed_result.sweep_seconds
        return seconds

    found = interleave({"sweep": swept}, options.rounds(3))
    name = f"a sweep of {len(spec.fractions_percent)} fractions x 2 modes, w={width:,} d=1"
    yield in_seconds(name, found["sweep"], at_most(2), options.data_description)
