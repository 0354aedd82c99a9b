"""The spec of sparse training: only the entries of a mask may move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from engine.analysis.fractions import count_of
from engine.data.spec import DatasetInfo
from engine.errors import FieldError
from engine.models.layer_layout import LayerLayout
from engine.models.layout import count_planned_layers, layout
from engine.models.spec import DescribedSpec
from engine.spec import ExperimentSpec, Work
from engine.spec_model import (
    Many,
    SpecModel,
    find_not_ascending,
    find_repeated,
    layer_order,
    unordered,
)

Mask = Literal["movement", "gradient_weight", "random", "by_layer"]
Percent = Annotated[float, Field(ge=0, le=100)]
MAX_SHARES = 32
MASK_BYTES = 8
"""Memory per parameter beyond training: the mask twice and the frozen values"""


class LayerShare(SpecModel):
    """The share of one layer's parameters that may move."""

    layer: str = Field(max_length=64, description="Name of the layer, such as `layers.0`.")
    percent: Percent = Field(100.0, description="Percent of the layer's parameters.")


def _share_order(share: LayerShare) -> tuple[int, str]:
    return layer_order(share.layer)


class SparseTrainSpec(ExperimentSpec):
    """Train with all parameters, then again from the same start where only a mask may move.

    Each mask and share is a training of its own; all other parameters keep their initial values.
    """

    kind: Literal["sparse_train"] = "sparse_train"
    masks: Many[Mask] = Field(
        ("movement", "random"),
        min_length=1,
        max_length=4,
        description="Which parameters may move: those that `movement` of the training with all "
        "parameters ranks first; those with the largest product of gradient and weight at the "
        "start, `gradient_weight` (SNIP, arXiv 1810.02340); as many drawn at `random`; or the "
        "shares of `layer_shares`, `by_layer`.",
    )
    shares_percent: Many[Percent] = Field(
        (0.1, 1.0, 10.0, 100.0),
        min_length=1,
        max_length=MAX_SHARES,
        description="Percent of all parameters that may move, strictly ascending; each is a "
        "training of its own.",
    )
    layer_shares: Annotated[Many[LayerShare], unordered(_share_order)] = Field(
        (),
        max_length=1_000,
        description="For the mask `by_layer`: of each layer named, the share that moved most may "
        "move; no other layer moves.",
    )
    gradient_batches: int = Field(
        1,
        ge=1,
        le=10_000,
        description="For the mask `gradient_weight`: the first batches, whose mean gradient at the "
        "start is taken.",
    )

    def check_fields(self) -> list[FieldError]:
        """Also errors for masks, shares and layers that do not fit one another or the net."""
        errors = [*super().check_fields(), *self._check_lists(), *self._check_layer_shares()]
        num_layers = count_planned_layers(self.model)
        if num_layers is not None:
            errors += self._check_layers([f"layers.{number}" for number in range(num_layers)], "")
        return errors

    def _check_lists(self) -> Iterator[FieldError]:
        yield from find_repeated(self.masks, "masks/")
        yield from find_not_ascending(self.shares_percent, "shares_percent/")
        if "gradient_weight" not in self.masks and self.gradient_batches != 1:
            detail = "only the mask `gradient_weight` reads it; add that mask, or leave it out"
            yield FieldError("gradient_batches", "no-effect", detail)

    def _check_layer_shares(self) -> Iterator[FieldError]:
        """Whether the mask that reads them is there, and no layer occurs twice."""
        if ("by_layer" in self.masks) != bool(self.layer_shares):
            detail = (
                "only the mask `by_layer` reads it; add that mask, or leave it out"
                if self.layer_shares
                else "the mask `by_layer` needs the share of at least one layer"
            )
            yield FieldError("layer_shares", "mask-and-shares", detail)
        names = [one.layer for one in self.layer_shares]
        for index, name in enumerate(names):
            if name in names[:index]:
                detail = f"the layer {name[:40]!r} occurs more than once; leave it out here"
                yield FieldError(f"layer_shares/{index}/layer", "repeated", detail)

    def _check_layers(self, known: Sequence[str], pointer: str) -> list[FieldError]:
        """An error for each layer that the net does not have."""
        return [
            FieldError(
                f"{pointer}layer_shares/{index}/layer",
                "no-such-layer",
                f"{one.layer[:40]!r} is no layer of the net; name one of {known[0]} to {known[-1]}",
            )
            for index, one in enumerate(self.layer_shares)
            if one.layer not in known
        ]

    def check_data(self, info: DatasetInfo) -> list[FieldError]:
        """Also errors for layers and batches that the net or the training does not have."""
        errors, total = super().check_data(info), self.steps_per_epoch(info)
        if isinstance(self.model, DescribedSpec):
            known = [layer.name for layer in layout(self.model, info)]
            errors += self._check_layers(known, "#/spec/")
        if self.gradient_batches > total:
            detail = (
                f"{self.gradient_batches:,} is more than the {total:,} batches of an epoch on this "
                "data set; name fewer"
            )
            errors.append(FieldError("#/spec/gradient_batches", "beyond-the-epoch", detail))
        return errors

    def list_counts(self, layers: Sequence[LayerLayout]) -> dict[Mask, tuple[int, ...]]:
        """By mask: how many parameters may move, for each share; one number for `by_layer`."""
        size = sum(layer.num_parameters for layer in layers)
        counts = tuple(count_of(percent, size) for percent in self.shares_percent)
        return {
            mask: (sum(self.count_by_layer(layers)),) if mask == "by_layer" else counts
            for mask in self.masks
        }

    def count_by_layer(self, layers: Sequence[LayerLayout]) -> list[int]:
        """How many parameters of each layer the mask `by_layer` lets move."""
        shares = {one.layer: one.percent for one in self.layer_shares}
        return [count_of(shares.get(one.name, 0.0), one.num_parameters) for one in layers]

    def list_trainings(self, layers: Sequence[LayerLayout]) -> list[tuple[Mask, int]]:
        """(mask, parameters that may move) of each masked training.

        Where none or all may move, the net is the initial one or that of the plain training.
        """
        size = sum(layer.num_parameters for layer in layers)
        pairs = [(mask, one) for mask, counts in self.list_counts(layers).items() for one in counts]
        return list(dict.fromkeys(pair for pair in pairs if 0 < pair[1] < size))

    @classmethod
    def describe_speed(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Without the masks and shares, whose trainings `work` counts."""
        own = ("masks", "shares_percent", "layer_shares", "gradient_batches")
        speed = super().describe_speed(spec)
        return {name: value for name, value in speed.items() if name not in own}

    def work(self, info: DatasetInfo) -> Work:
        """A whole training for each mask and share: a frozen parameter saves no arithmetic."""
        trainings = len(self.list_trainings(layout(self.model, info)))
        return Work(
            own_trainings=trainings,
            test_evaluations=trainings * self.num_evaluations(),
            bytes_per_parameter=MASK_BYTES,
        )

    def describe_work(self, info: DatasetInfo) -> tuple[str, ...]:
        """Says what the masked trainings cost."""
        trainings = len(self.list_trainings(layout(self.model, info)))
        return (
            f"each seed trains {1 + trainings} times: with all parameters, and once for each mask "
            "and share. A masked training costs a whole one, as every gradient is computed",
        )
