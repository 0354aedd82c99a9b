"""What each policy of layers saves, on one net and data set: the table of a page of the docs.

`python -m benchmarks.layer_policies` trains every policy with several seeds, in turn, and writes
docs/explanation/layer-policies.md. Times count only on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.engine_runs import make_context, run_kind
from benchmarks.machine import describe_machine
from benchmarks.options import Options
from engine.analysis.stats import SHARE, summarize
from engine.data.spec import BUILTIN_DATASETS
from engine.determinism import prepare_process
from engine.experiments.lws.result import LwsSeedResult
from engine.experiments.lws.spec import LwsSpec
from engine.models.layout import layout
from engine.process_memory import keep_freed_memory
from engine.training import module_learner
from engine.training.cost_shares import expect_shares
from engine.training.layer_schedule import draw_schedule
from engine.training.learner import Learner
from engine.training.loop import train
from engine.training.policies import title_of

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "layer-policies.md"
BEGIN, END = "<!-- policies begin -->", "<!-- policies end -->"
SPEC: Mapping[str, Any] = {
    "kind": "lws",
    "data": {"name": "digits", "train_size": 2_000, "test_size": 1_000},
    "model": {"name": "vgg5", "width_multiplier": 0.25},
    "optimizer": {"name": "adamw"},
    "schedule": {"name": "cosine"},
    "batch_size": 64,
}
EPOCHS, SEEDS = 20, 5
FULL: Mapping[str, Any] = {"name": "full"}
POLICIES: Sequence[Mapping[str, Any]] = (
    FULL,
    {"name": "top_k_all_bottoms", "k": 1, "rho": 0.1},
    {"name": "top_k_all_bottoms", "k": 2, "rho": 0.3},
    {"name": "random_uniform"},
    {"name": "random_beta"},
    {"name": "lisa"},
    {"name": "freeze_out"},
    {"name": "freeze_out", "t0": 0.5},
    {"name": "freeze_bottom_up"},
    {"name": "gradual_unfreeze"},
    {"name": "bias"},
)


@dataclass(slots=True)
class HeldBytes:
    """Measures what a step holds for its backward pass: saved activations, and gradients."""

    bytes_by_step: list[int] = field(default_factory=list)
    _saved: dict[int, int] = field(default_factory=dict)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what autograd saves; the hand-written loss of linear layers, which saves the same
        activations itself, is switched off."""

        def keep(tensor: Tensor) -> Tensor:
            if not isinstance(tensor, torch.nn.Parameter):
                storage = tensor.untyped_storage()
                self._saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with (
            patch.object(module_learner, "find_linear_parts", lambda *_: None),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            yield

    def __call__(self, learner: Learner, step: int) -> None:
        assert isinstance(learner, module_learner.ModuleLearner)
        gradients = sum(one.grad.nbytes for one in learner._trained if one.grad is not None)
        self.bytes_by_step.append(sum(self._saved.values()) + gradients)
        self._saved.clear()

    def capture(self) -> dict[str, Tensor]:
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        assert not tensors


def measure_bytes(options: Options, spec: LwsSpec) -> float:
    """The mean over the steps of one seed."""
    held, ctx = HeldBytes(), make_context(options, [0], threads=1)
    layers, info = layout(spec.model, BUILTIN_DATASETS["digits"]), BUILTIN_DATASETS["digits"]
    steps = spec.steps_per_epoch(info)
    schedule = draw_schedule(spec.policy, len(layers), spec.epochs, 0, steps, layers)
    with held.counting():
        train(spec, ctx, draw_schedule=lambda seed, info: schedule, on_step=held)
    ctx.discard()
    return fmean(held.bytes_by_step)


def measure(options: Options, epochs: int, num_seeds: int) -> list[str]:
    """The rows of the table, `full` first."""
    specs = [LwsSpec.model_validate({**SPEC, "epochs": epochs, "policy": one}) for one in POLICIES]
    found: list[list[LwsSeedResult]] = [[] for _ in specs]
    for seed in range(num_seeds):
        for spec, results in zip(specs, found, strict=True):
            ctx = make_context(options, [seed], threads=1)
            results.extend(run_kind(spec, ctx))
            ctx.discard()
        print(f"seed {seed} of {num_seeds}", flush=True)
    held = [measure_bytes(options, spec) for spec in specs]
    return [
        format_row(spec, results, found[0], one / held[0])
        for spec, results, one in zip(specs, found, held, strict=True)
    ]


def format_row(
    spec: LwsSpec, results: Sequence[LwsSeedResult], full: Sequence[LwsSeedResult], held: float
) -> str:
    """held: bytes held for backward, as a share of those of `full`."""
    accuracy = summarize((one.test_accuracy for one in results), SHARE)
    pairs = list(zip(results, full, strict=True))
    backward = fmean(a.timings.backward_seconds / b.timings.backward_seconds for a, b in pairs)
    total = fmean(a.timings.train_seconds / b.timings.train_seconds for a, b in pairs)
    info = BUILTIN_DATASETS["digits"]
    shares = expect_shares(
        spec.policy,
        layout(spec.model, info),
        spec.epochs,
        keeps_prefix=True,
        steps_per_epoch=spec.steps_per_epoch(info),
    )
    error = "" if accuracy.standard_error is None else f" ± {accuracy.standard_error:.4f}"
    return (
        f"| {title_of(spec.policy)} | {accuracy.mean:.4f}{error} | {backward:.2f} "
        f"| {shares.backward:.2f} | {total:.2f} | {shares.train:.2f} | {held:.2f} |"
    )


def write_table(rows: Sequence[str], epochs: int, num_seeds: int) -> str:
    machine = describe_machine()
    load = machine["load_average"][0]
    busy = load > machine["cores"]
    lines = [
        "| policy | test accuracy | backward, time | backward, FLOPs | training, time "
        "| training, FLOPs | held for backward |",
        "|---|---|---:|---:|---:|---:|---:|",
        *rows,
        "",
        f"VGG-5 at 0.25 of its width on 2,000 of `digits`, {epochs} epochs of AdamW with a cosine, "
        f"{num_seeds} seeds,",
        f"one thread of {machine['processor']} with {machine['cores']} cores, load {load:.1f}.",
        *(["Other work ran beside it, so that the times are rough."] if busy else []),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.layer_policies", description=__doc__
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--print", action="store_true", help="print the table, write nothing")
    chosen = parser.parse_args()
    prepare_process()
    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="richregime-policies-") as folder:
        options = Options(Path(folder), None, smoke=False, peers=False)
        rows = measure(options, chosen.epochs, chosen.seeds)
    table = write_table(rows, chosen.epochs, chosen.seeds)
    print(table)
    if not chosen.print:
        head, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
        _, tail = rest.split(END)
        PAGE.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
