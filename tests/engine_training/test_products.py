"""Products asked for together: each has the bits it has alone, or they are asked for one by one."""

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
"""[m, k] times [n, k]; the last is large enough for the kernel of large products"""


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_a_product_has_the_bits_it_has_alone(m: int, k: int, n: int, has_bias: bool) -> None:
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


def test_products_that_would_be_rounded_otherwise_are_asked_for_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left, right, out = draw(5, 44, 10), draw(5, 10, 10), torch.zeros(5, 44, 10)

    def summed_backwards(left: Tensor, right: Tensor, *, out: Tensor) -> None:
        out.copy_((left.flip(2).unsqueeze(3) * right.flip(1).unsqueeze(1)).sum(2))

    monkeypatch.setattr(torch, "bmm", summed_backwards)
    assert len(plan_products(left, right, out)) == 5


def test_one_product_is_planned_by_itself() -> None:
    assert len(plan_products(draw(1, 44, 10), draw(1, 10, 10), torch.zeros(1, 44, 10))) == 1
