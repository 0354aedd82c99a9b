"""Stacked nets are evaluated together with the bits of nets that are evaluated one by one."""

from __future__ import annotations

from math import isnan

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from engine.training import products, stacked_evaluation
from engine.training.learner import Evaluation
from engine.training.products import SharedProducts, multiply
from engine.training.stacked_evaluation import evaluate_nets

NUM_NETS, NUM_INPUTS, ROWS_AT_ONCE = 3, 784, 300
NUM_EXAMPLES = 2 * ROWS_AT_ONCE - 7

Layers = tuple[list[Tensor], list[Tensor]]
"""Weights [K, out, in] and biases [K, out] of each layer"""


@pytest.fixture(autouse=True)
def fresh_trials() -> None:
    products._sharing_has_equal_bits.cache_clear()
    stacked_evaluation._rows_side_by_side_have_equal_bits.cache_clear()


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def draw_nets(width: int, num_classes: int, depth: int = 1) -> Layers:
    sizes = [NUM_INPUTS, *[width] * depth, num_classes]
    pairs = list(zip(sizes[1:], sizes, strict=False))
    weights = [draw(NUM_NETS, out, inputs) / inputs**0.5 for out, inputs in pairs]
    return weights, [draw(NUM_NETS, out) for out, _ in pairs]


def draw_examples(num_classes: int) -> tuple[Tensor, Tensor]:
    return draw(NUM_EXAMPLES, NUM_INPUTS), torch.arange(NUM_EXAMPLES) % num_classes


def evaluate_one_by_one(x: Tensor, labels: Tensor, layers: Layers) -> list[Evaluation]:
    found = []
    for k in range(NUM_NETS):
        loss, hits = 0.0, 0
        for images, targets in zip(
            *(torch.split(one, ROWS_AT_ONCE) for one in (x, labels)), strict=True
        ):
            for weight, bias in zip(*layers, strict=True):
                is_top = weight is layers[0][-1]
                images = multiply(images, weight[k], bias[k])
                images = images if is_top else images.relu()
            loss += functional.cross_entropy(images, targets, reduction="sum").item()
            hits += int((images.argmax(dim=1) == targets).sum())
        found.append(Evaluation(hits / len(x), loss / len(x)))
    return found


@pytest.mark.parametrize(
    ("width", "num_classes", "depth"),
    [(10, 10, 1), (30, 5, 3), (100, 10, 2), (200, 10, 1), (10, 2, 1), (10, 16, 1), (10, 47, 1)],
)
def test_nets_have_the_evaluation_that_each_has_alone(
    width: int, num_classes: int, depth: int
) -> None:
    layers, (x, labels) = draw_nets(width, num_classes, depth), draw_examples(num_classes)
    together = evaluate_nets(x, labels, *layers, ROWS_AT_ONCE)
    assert together == evaluate_one_by_one(x, labels, layers)


@pytest.mark.parametrize("num_classes", [3, 5, 10])
def test_few_rows_have_the_bits_of_rows_alone(num_classes: int) -> None:
    """Sums of few losses show each rounding."""
    layers, (x, labels) = draw_nets(10, num_classes), draw_examples(num_classes)
    for start in range(0, 120, 15):
        part = slice(start, start + 15)
        together = evaluate_nets(x[part], labels[part], *layers, 15)
        assert together == evaluate_one_by_one(x[part], labels[part], layers)


def test_ties_and_nets_that_are_not_finite_do_not_touch_others() -> None:
    layers, (x, labels) = draw_nets(10, 10), draw_examples(10)
    alone = evaluate_one_by_one(x, labels, layers)
    for part in (*layers[0], *layers[1]):
        part[0], part[2] = 0.0, float("nan")
    tied, finite, not_finite = evaluate_nets(x, labels, *layers, ROWS_AT_ONCE)
    assert (tied, finite) == tuple(evaluate_one_by_one(x, labels, layers)[:2])
    assert finite == alone[1]
    assert tied.test_accuracy == (labels == 0).sum().item() / NUM_EXAMPLES  # the first of equals
    assert isnan(not_finite.test_loss)
    assert not_finite.test_accuracy == tied.test_accuracy


def count_products(monkeypatch: pytest.MonkeyPatch, width: int) -> int:
    """How many products compute the bottom layer of one block, where trials were made before."""
    shared = SharedProducts(draw(NUM_NETS, width, NUM_INPUTS), draw(NUM_NETS, width))
    x, sizes = draw(ROWS_AT_ONCE, NUM_INPUTS), list[int]()
    assert len(list(shared.multiply(x))) == NUM_NETS

    def counted(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
        sizes.append(len(right))
        return multiply(left, right, bias)

    monkeypatch.setattr(products, "multiply", counted)
    assert all(part.shape == (ROWS_AT_ONCE, width) for part in shared.multiply(x))
    return len(sizes)


@pytest.mark.skipif(not products._has_onednn(), reason="products are shared by oneDNN only")
def test_narrow_products_are_one_and_wide_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_products(monkeypatch, 100) == 1
    assert count_products(monkeypatch, 400) == NUM_NETS


def test_products_are_not_shared_if_that_changes_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    right = products._multiply_by_onednn

    def rounded_by_width(left: Tensor, rights: Tensor, bias: Tensor | None) -> Tensor:
        return right(left, rights, bias) * (1 + 1e-6 * len(rights))

    monkeypatch.setattr(products, "_multiply_by_onednn", rounded_by_width)
    assert count_products(monkeypatch, 100) == NUM_NETS
