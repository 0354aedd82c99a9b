"""The effect of each optimization: the engine with and without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.baselines import user_script
from benchmarks.figures import Figure
from benchmarks.goals.relu_seeds import per_seed_epoch
from benchmarks.images import user_images
from benchmarks.interleave import interleave, speed_up, timed
from benchmarks.options import Options
from benchmarks.served_script import served_engine
from engine.training.stacked_evaluation import evaluate_nets

DENORMAL = 1e-41
ADAM_STEPS = 200


def measure(options: Options) -> Iterator[Figure]:
    yield from _without_stacking(options)
    yield from _without_resident_batches(options)
    yield from _without_fused_optimizer(options)
    yield from _without_buffers(options)
    yield from _without_shared_evaluation(options)
    yield from _without_kept_memory(options)


def _without_stacking(options: Options) -> Iterator[Figure]:
    for width, depth, epochs in ((10, 1, 8), (100, 1, 8), (100, 4, 5), (1_000, 1, 1)):
        epochs = options.size(epochs, 1)
        found = interleave(
            {
                "stacked": per_seed_epoch(options, width, depth, epochs),
                "alone": per_seed_epoch(options, width, depth, epochs, seeds=(0,)),
                "autograd": per_seed_epoch(
                    options, width, depth, epochs, seeds=(0,), stack_seeds=False
                ),
            },
            options.rounds(3),
        )
        name = f"w={width:,} d={depth}"
        yield speed_up(
            f"seeds stacked, {name}",
            found["stacked"],
            found["autograd"],
            baseline="the engine with `stack_seeds` off: autograd, one seed after the other",
        )
        yield speed_up(
            f"hand-written backward, one seed, {name}",
            found["alone"],
            found["autograd"],
            baseline="the engine's autograd learner",
        )


def _without_resident_batches(options: Options) -> Iterator[Figure]:
    images = user_images(options)
    candidates = {
        name: timed(
            user_script.train, user_script.make_loaders(images, resident=resident), 100, 1, 1
        )
        for name, resident in (("resident", True), ("loader", False))
    }
    found = interleave(candidates, options.rounds(3))
    yield speed_up(
        "data in one tensor, w=100 d=1",
        found["resident"],
        found["loader"],
        baseline="the same loop with a DataLoader",
    )


def _without_fused_optimizer(options: Options) -> Iterator[Figure]:
    """Adam on denormal gradients, as they occur in a net that is trained to zero loss."""
    steps = options.size(ADAM_STEPS, 5)
    found = interleave(
        {
            "engine": _adam(fused=True, flush=True, steps=steps),
            "fused alone": _adam(fused=True, flush=False, steps=steps),
            "default": _adam(fused=False, flush=False, steps=steps),
        },
        options.rounds(5),
    )
    for other, description in (
        ("default", "torch's default Adam, denormals not flushed"),
        ("fused alone", "fused Adam, denormals not flushed"),
    ):
        yield speed_up(
            "fused Adam, denormals flushed", found["engine"], found[other], baseline=description
        )


def _adam(*, fused: bool, flush: bool, steps: int) -> Callable[[], float]:
    """A function that times Adam's steps on one thread, for a net of w=100 d=1 with denormal
    gradients."""
    net = user_script.make_net(100, 1)
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 1.0)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001, fused=fused)
    optimizer.step()
    state = [value for entry in optimizer.state.values() for value in entry.values() if value.dim()]

    def run() -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.set_flush_denormal(False)
        for tensor in (*state, *(parameter.grad for parameter in net.parameters())):
            assert isinstance(tensor, Tensor)
            tensor.fill_(DENORMAL)
        torch.set_flush_denormal(flush)
        try:
            return timed(lambda: [optimizer.step() for _ in range(steps)])()
        finally:
            torch.set_flush_denormal(True)
            torch.set_num_threads(threads)

    return run


def _without_buffers(options: Options) -> Iterator[Figure]:
    """Gathering a batch into a preallocated tensor, compared with a new tensor each step."""
    rows = torch.randn(options.size(10_000, 600), 3072)
    order = torch.randperm(len(rows)).split(128)
    buffer = torch.empty(128, 3072)

    def into_buffer() -> None:
        for indices in order:
            torch.index_select(rows, 0, indices, out=buffer[: len(indices)])

    def into_new() -> None:
        kept: list[Tensor] = []
        for indices in order:
            kept = [rows[indices]]
        assert kept

    found = interleave({"buffer": timed(into_buffer), "new": timed(into_new)}, options.rounds(9))
    yield speed_up(
        "preallocated batches, gathering only",
        found["buffer"],
        found["new"],
        baseline="a new tensor each step",
    )


def _without_shared_evaluation(options: Options) -> Iterator[Figure]:
    """Five nets evaluated together, compared with one after the other."""
    x = torch.randn(options.size(10_000, 600), 784)
    labels = torch.arange(len(x)) % 10
    for width in (10, 100):
        sizes = ((width, 784), (10, width))
        weights = [torch.randn(5, *size) / size[1] ** 0.5 for size in sizes]
        biases = [torch.zeros(5, size[0]) for size in sizes]
        alone = [
            ([w[k : k + 1] for w in weights], [b[k : k + 1] for b in biases]) for k in range(5)
        ]
        together = timed(evaluate_nets, x, labels, weights, biases, 1024)
        one_by_one = timed(
            lambda nets=alone: [evaluate_nets(x, labels, w, b, 1024) for w, b in nets]
        )
        found = interleave({"together": together, "one by one": one_by_one}, options.rounds(9))
        yield speed_up(
            f"evaluation of 5 seeds, w={width} d=1",
            found["together"],
            found["one by one"],
            baseline="each net evaluated alone",
        )


def _without_kept_memory(options: Options) -> Iterator[Figure]:
    """Trainings of convolutional nets, in a process of its own each."""
    for model, size in (("vgg5", 1_000), ("resnet18", 256)):
        examples = options.size(size, 20)
        spec: dict[str, Any] = {
            "data": {**options.digits(), "train_size": examples, "test_size": examples},
            "model": {"name": model},
            "epochs": 1,
        }
        with (
            served_engine(options, spec, (0,)) as kept,
            served_engine(options, spec, (0,), keeps_memory=False) as returned,
        ):
            candidates = {"kept": kept.train, "returned": returned.train}
            found = interleave(candidates, options.rounds(9))
        yield speed_up(
            f"freed memory kept, {model}, one thread",
            found["kept"],
            found["returned"],
            baseline="the C library returns it to the system",
        )
