"""Time to count the most active parameters, compared with the full-batch gradient itself."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.engine_runs import make_context
from benchmarks.figures import Figure, at_most
from benchmarks.interleave import interleave, share, timed
from benchmarks.options import Options
from engine.analysis.activity import ActivityCounter
from engine.data.resident import resident_data
from engine.experiments.registry import parse_spec
from engine.training.plan import build_learner

ALPHAS = (1.0, 10.0, 30.0)
CASES = ((100, 4), (1_000, 4), (1_000, 1))


def measure(options: Options) -> Iterator[Figure]:
    for width, depth in CASES:
        fields = {
            "kind": "train",
            "data": options.digits(),
            "model": {"name": "relu_net", "width": width, "depth": depth},
        }
        spec, ctx = parse_spec(fields), make_context(options, [0])
        data = resident_data(spec.data, "cpu", ctx)
        learner = build_learner(spec, data, [0], ctx, None)
        learner.begin_epoch(1, None)
        for step in range(learner.num_steps):
            learner.train_step(step)
        learner.end_epoch()
        gradient = learner.full_gradient(0)
        counter = ActivityCounter(ALPHAS, 100)
        found = interleave(
            {
                "gradient": timed(learner.full_gradient, 0),
                "counting": timed(counter.count, 0, gradient),
            },
            options.rounds(9),
        )
        yield share(
            f"3 alphas, w={width:,} d={depth} (p = {len(gradient):,})",
            found["counting"],
            found["gradient"],
            baseline=f"the full-batch gradient over {len(data.y_train):,} images",
            goal=at_most(0.04),
            limit="0.2 %",
        )
        ctx.discard()
