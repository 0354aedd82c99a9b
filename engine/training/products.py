"""Matrix products in fp32 by the CPU's fastest kernel for their shape; on a GPU torch's own.

oneDNN uses the whole width of any CPU's vector units, MKL only that of Intel's: on an AMD EPYC whose units are 512 bits
wide oneDNN multiplies 2.2 times as fast, on the generation before, which halves them, as fast as MKL. MKL starts faster,
which matters more to small products. The choice depends on shapes and the machine alone, so equal products give equal
bits.
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
