"""Matrix products in fp32 with the CPU's fastest kernel for their shape; on a GPU torch's own.

oneDNN uses the full width of any CPU's vector units, MKL only on Intel's: on an AMD EPYC with
512-bit units oneDNN is 2.2 times as fast, on the generation before, with half the width, as fast as
MKL. MKL starts faster, which matters for small products. The choice depends only on shapes and the
machine, so equal products give equal bits. Many small products are computed in one batched call if
a trial shows that each then has the bits of a single call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial

import torch
from torch import Tensor

ONEDNN_MULTIPLICATIONS = 2_000_000
"""From this many multiplications on, oneDNN is faster despite its start-up time."""

SHARED_COLUMNS = 512
"""The most columns of a product shared by several right operands: above, sharing is not faster."""

Product = Callable[[], object]
"""A product with fixed operands and output memory; each call computes it again."""


def multiply(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left [m, k] times the transpose of right [n, k], plus bias [n]; a new tensor [m, n]."""
    if _suits_onednn(left, right):
        return _multiply_by_onednn(left, right, bias)
    return torch.mm(left, right.t()) if bias is None else torch.addmm(bias, left, right.t())


def plan_product(left: Tensor, right: Tensor, out: Tensor, bias: Tensor | None = None) -> Product:
    """The product that writes `multiply(left, right, bias)` to `out` [m, n] at each call."""
    if _suits_onednn(left, right):
        return partial(_copy_onednn_product, left, right, bias, out)
    if bias is None:
        return partial(torch.mm, left, right.t(), out=out)
    return partial(torch.addmm, bias, left, right.t(), out=out)


def plan_products(
    left: Tensor, right: Tensor, out: Tensor, bias: Tensor | None = None
) -> list[Product]:
    """Products of K pairs: left [K, m, k], right [K, n, k], bias [K, n], into out [K, m, n].

    Each has the bits of a single `plan_product`, for any K, batched or not.
    """
    pairs = zip(left, right, out, bias if bias is not None else [None] * len(left), strict=True)
    single: list[Product] = [plan_product(*pair) for pair in pairs]
    if len(left) == 1 or left.device.type != "cpu" or _suits_onednn(left[0], right[0]):
        return single
    batched: Product
    if bias is None:
        batched = partial(torch.bmm, left, right.transpose(1, 2), out=out)
    else:
        batched = partial(torch.baddbmm, bias[:, None], left, right.transpose(1, 2), out=out)
    operands = [left, right] if bias is None else [left, right, bias]
    return [batched] if _have_equal_bits(single, batched, operands, out) else single


class SharedProducts:
    """Products of one left operand with the transposes of K right ones [n, k], plus biases [n].

    Where right operands are narrow, several are side by side in one product, which then reads the
    left one once for all, if a trial shows that each has the bits of a single `multiply`. rights,
    biases: [K, n, k] and [K, n], as they are now: they may be copied.
    """

    def __init__(self, rights: Tensor, biases: Tensor) -> None:
        self._rights, self._biases = rights, biases
        at_once = max(1, SHARED_COLUMNS // rights.shape[1])
        self._joint = [
            (one, other, one.flatten(0, 1), other.flatten())
            for one, other in zip(
                torch.split(rights, at_once), torch.split(biases, at_once), strict=True
            )
        ]

    def multiply(self, left: Tensor) -> Iterator[Tensor]:
        """The K products with left [m, k], in order: [m, n] each, there may be gaps in between."""
        for rights, biases, joint_right, joint_bias in self._joint:
            if _shares(left, rights):
                joint = multiply(left, joint_right, joint_bias)
                yield from torch.split(joint, rights.shape[1], dim=1)
            else:
                yield from (multiply(left, *pair) for pair in zip(rights, biases, strict=True))


def _shares(left: Tensor, rights: Tensor) -> bool:
    return (
        len(rights) > 1
        and _suits_onednn(left, rights[0])
        and _sharing_has_equal_bits(len(left), *rights.shape, torch.get_num_threads())
    )


@cache
def _sharing_has_equal_bits(m: int, count: int, n: int, k: int, num_threads: int) -> bool:
    """Whether products have equal bits in one shared product and alone: a trial on random
    numbers."""
    generator = torch.Generator().manual_seed(0)
    left, rights, biases = (
        torch.randn(shape, generator=generator) for shape in ((m, k), (count, n, k), (count, n))
    )
    joint = multiply(left, rights.flatten(0, 1), biases.flatten())
    return all(
        torch.equal(multiply(left, right, bias), part)
        for right, bias, part in zip(rights, biases, torch.split(joint, n, dim=1), strict=True)
    )


def _have_equal_bits(
    single: list[Product], batched: Product, operands: list[Tensor], out: Tensor
) -> bool:
    """Whether both give equal bits on random numbers in the same memory, which is restored."""
    before = [tensor.clone() for tensor in (*operands, out)]
    generator = torch.Generator().manual_seed(0)
    for operand in operands:
        operand.copy_(torch.randn(operand.shape, generator=generator))
    for product in single:
        product()
    expected = out.clone()
    batched()
    are_equal = torch.equal(out, expected)
    for tensor, kept in zip((*operands, out), before, strict=True):
        tensor.copy_(kept)
    return are_equal


def _suits_onednn(left: Tensor, right: Tensor) -> bool:
    multiplications = left.shape[0] * left.shape[1] * right.shape[0]
    return multiplications >= ONEDNN_MULTIPLICATIONS and left.device.type == "cpu" and _has_onednn()


@cache
def _has_onednn() -> bool:
    """Whether this build of torch has oneDNN's linear map, an operator for its compiler."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _multiply_by_onednn(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(left, right, bias, "none", [], "")
    return product


def _copy_onednn_product(left: Tensor, right: Tensor, bias: Tensor | None, out: Tensor) -> None:
    out.copy_(_multiply_by_onednn(left, right, bias))
