"""Batched products have the bits of single products, or they are not batched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.training.products import plan_product, plan_products

SHAPES = [
    (128, 100, 100),
    (128, 100, 10),
    (100, 100, 128),
    (10, 100, 128),
    (44, 10, 10),
    (128, 784, 100),
]
"""[m, k] times [n, k]; the last one is large enough for oneDNN"""


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_planned_products_have_the_bits_of_single_products(
    m: int, k: int, n: int, has_bias: bool
) -> None:
    left, right, out, alone = (
        draw(5, m, k),
        draw(5, n, k),
        torch.zeros(5, m, n),
        torch.zeros(5, m, n),
    )
    bias = draw(5, n) if has_bias else None
    before = [left.clone(), right.clone(), out.clone()]
    products = plan_products(left, right, out, bias)
    assert all(
        torch.equal(one, other) for one, other in zip((left, right, out), before, strict=True)
    )
    for product in products:
        product()
    for index in range(5):
        plan_product(
            left[index], right[index], alone[index], None if bias is None else bias[index]
        )()
    assert torch.equal(out, alone)


def test_products_are_not_batched_if_that_changes_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left, right, out = draw(5, 44, 10), draw(5, 10, 10), torch.zeros(5, 44, 10)

    def summed_backwards(left: Tensor, right: Tensor, *, out: Tensor) -> None:
        out.copy_((left.flip(2).unsqueeze(3) * right.flip(1).unsqueeze(1)).sum(2))

    monkeypatch.setattr(torch, "bmm", summed_backwards)
    assert len(plan_products(left, right, out)) == 5


def test_a_single_product_is_not_batched() -> None:
    assert len(plan_products(draw(1, 44, 10), draw(1, 10, 10), torch.zeros(1, 44, 10))) == 1
