"""Matrix products in fp32 by the CPU's fastest kernel for their shape; on a GPU torch's own.

oneDNN uses the whole width of any CPU's vector units, MKL only that of Intel's: on an AMD EPYC whose units are 512 bits
wide oneDNN multiplies 2.2 times as fast, on the generation before, which halves them, as fast as MKL. MKL starts faster,
which matters more to small products. The choice depends on shapes and the machine alone, so equal products give equal
bits. Many small products are asked for at once where a trial shows that each then has the bits it has by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

ONEDNN_MULTIPLICATIONS = 2_000_000
"""Multiplications from which oneDNN's faster kernel outweighs its slower start."""

Product = Callable[[], object]
"""A product whose operands and result have their places in memory: called again, it computes anew."""


def multiply(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left [m, k] times right [n, k] transposed, plus bias [n], in new memory [m, n]."""
    if _suits_onednn(left, right):
        return _multiply_by_onednn(left, right, bias)
    return torch.mm(left, right.t()) if bias is None else torch.addmm(bias, left, right.t())


def plan_product(left: Tensor, right: Tensor, out: Tensor, bias: Tensor | None = None) -> Product:
    """The product that puts `multiply(left, right, bias)` into `out` [m, n] whenever it is called."""
    if _suits_onednn(left, right):
        return partial(_copy_onednn_product, left, right, bias, out)
    if bias is None:
        return partial(torch.mm, left, right.t(), out=out)
    return partial(torch.addmm, bias, left, right.t(), out=out)


def plan_products(
    left: Tensor, right: Tensor, out: Tensor, bias: Tensor | None = None
) -> list[Product]:
    """Products of K pairs: left [K, m, k], right [K, n, k], bias [K, n], into out [K, m, n].

    Whether they are asked for one by one or together, each has the bits of `plan_product` alone, whatever K.
    """
    pairs = zip(left, right, out, bias if bias is not None else [None] * len(left), strict=True)
    apart: list[Product] = [plan_product(*pair) for pair in pairs]
    if len(left) == 1 or left.device.type != "cpu" or _suits_onednn(left[0], right[0]):
        return apart
    together: Product
    if bias is None:
        together = partial(torch.bmm, left, right.transpose(1, 2), out=out)
    else:
        together = partial(torch.baddbmm, bias[:, None], left, right.transpose(1, 2), out=out)
    operands = [left, right] if bias is None else [left, right, bias]
    return [together] if _have_equal_bits(apart, together, operands, out) else apart


def _have_equal_bits(
    apart: list[Product], together: Product, operands: list[Tensor], out: Tensor
) -> bool:
    """Tried on drawn numbers in the very places in memory, whose contents are put back."""
    before = [tensor.clone() for tensor in (*operands, out)]
    generator = torch.Generator().manual_seed(0)
    for operand in operands:
        operand.copy_(torch.randn(operand.shape, generator=generator))
    for product in apart:
        product()
    wanted = out.clone()
    together()
    are_equal = torch.equal(out, wanted)
    for tensor, kept in zip((*operands, out), before, strict=True):
        tensor.copy_(kept)
    return are_equal


def _suits_onednn(left: Tensor, right: Tensor) -> bool:
    multiplications = left.shape[0] * left.shape[1] * right.shape[0]
    return multiplications >= ONEDNN_MULTIPLICATIONS and left.device.type == "cpu" and _has_onednn()


@cache
def _has_onednn() -> bool:
    """Whether this build of torch has oneDNN's linear map, which it keeps for its compiler's use."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _multiply_by_onednn(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(left, right, bias, "none", [], "")
    return product


def _copy_onednn_product(left: Tensor, right: Tensor, bias: Tensor | None, out: Tensor) -> None:
    out.copy_(_multiply_by_onednn(left, right, bias))
