"""The field `probes` of a spec: what is measured, when, and on which examples. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from engine.data.spec import DatasetInfo, DataSpec
from engine.errors import FieldError
from engine.models.layer_layout import Derivative, LayerLayout
from engine.moments import EpochChoice, choose_epochs, count_epochs
from engine.spec_model import Many, SpecModel, unordered

Group = Literal["movement", "features", "linearised", "tangent_kernel"]
"""Quantities that are computed together"""
GROUPS: tuple[Group, ...] = ("movement", "features", "linearised", "tangent_kernel")
KERNEL_BYTES = 128 << 20
"""The most memory of one full kernel, float64: 4,096 rows. Two are held for each seed."""


class ProbesSpec(SpecModel):
    """Compare the net with its start at chosen epochs, on a fixed batch of examples.

    The batch depends on `data.seed`, `split` and `examples` alone, so that all seeds and points of
    the same data are measured on the same examples. Nothing of the training depends on it.
    """

    epochs: EpochChoice = Field(
        "log",
        description='When: `log` (ten epochs a decade), `{"every": n}` epochs, or a list of '
        "epochs. The start and the end always are.",
    )
    quantities: Annotated[Many[Group], unordered(GROUPS.index)] = Field(
        GROUPS,
        min_length=1,
        max_length=len(GROUPS),
        description="What: `movement` of the parameters; `features` (CKA, flipped ReLUs, effective "
        "rank); `linearised`, the net's first-order model at its start; `tangent_kernel`.",
    )
    kernel: Literal["sum_of_logits", "full"] = Field(
        "sum_of_logits",
        description="The tangent kernel: of the sum of the logits, [n, n], or of every logit, "
        "[n x classes, n x classes], which takes as many times longer as there are classes.",
    )
    examples: int = Field(128, ge=128, le=256, description="Examples of the batch, n.")
    split: Literal["train", "test"] = Field("train", description="Which set the batch is from.")

    def choose_epochs(self, epochs: int) -> frozenset[int]:
        """The epochs after which it measures in a training of so many; 0 is the start."""
        return choose_epochs(self.epochs, epochs)

    def count_epochs(self, epochs: int) -> int:
        """The number of `choose_epochs`."""
        return count_epochs(self.epochs, epochs)

    def count_rows(self, num_classes: int) -> int:
        """Rows of the tangent kernel."""
        return self.examples * (num_classes if self.kernel == "full" else 1)


_NEEDS: Mapping[Group, Derivative] = {"tangent_kernel": "per_example", "linearised": "forward"}


def check_derivatives(probes: ProbesSpec, layers: Sequence[LayerLayout]) -> list[FieldError]:
    """An error for each quantity whose derivative a layer of the net does not allow."""
    errors = []
    for group, derivative in _NEEDS.items():
        lacking = [layer.name for layer in layers if derivative in layer.lacks]
        if group in probes.quantities and lacking:
            detail = (
                f"{group!r} needs a derivative for which torch has no rule in {lacking[0]} of this "
                "net; leave it out"
            )
            errors.append(FieldError("#/spec/probes/quantities", "no-derivative", detail))
    return errors


def check_probes(probes: ProbesSpec, data: DataSpec, info: DatasetInfo) -> list[FieldError]:
    """The errors that only the data set decides: too few examples, too large a full kernel."""
    is_train = probes.split == "train"
    there = (data.train_size or info.train_size) if is_train else (data.test_size or info.test_size)
    errors = []
    if there < probes.examples:
        detail = (
            f"the probe batch takes {probes.examples} examples, but the {probes.split} set has "
            f"{there:,}; use more examples, or the other set"
        )
        errors.append(FieldError("#/spec/probes/examples", "too-few-examples", detail))
    rows = probes.count_rows(info.num_classes)
    if "tangent_kernel" in probes.quantities and 8 * rows**2 > KERNEL_BYTES:
        detail = (
            f"the full kernel of {probes.examples} examples and {info.num_classes} classes has "
            f"{rows:,} rows and takes {8 * rows**2:,} bytes; the limit is {KERNEL_BYTES:,}. "
            "Use `sum_of_logits`, or fewer examples"
        )
        errors.append(FieldError("#/spec/probes/kernel", "kernel-too-large", detail))
    return errors
