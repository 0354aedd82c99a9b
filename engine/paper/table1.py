"""Table 1 as printed: probabilistic layer-wise sparse SGD of VGG-11 on CIFAR-10."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from engine.models.spec import InitSpec, ModelSpec, Vgg11Spec
from engine.training.policies import (
    FullPolicy,
    PolicySpec,
    ProbTopKBottomQPolicy,
    RandomBetaPolicy,
    RandomUniformPolicy,
    TopKAllBottomsPolicy,
)


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row and initialisation of Table 1. Accuracy and difference in [0, 1]."""

    variant: str
    init: str
    rho: float | None
    test_accuracy: float
    difference: float
    """To the full net from Xavier initialisation, for every row."""
    backward_seconds: float
    """On an NVIDIA Tesla K40m."""
    backward_ratio: float


@cache
def read_table1() -> tuple[PublishedRow, ...]:
    """All rows, in the order printed."""
    text = resources.files("engine.paper").joinpath("table1.csv").read_text(encoding="utf-8")
    return tuple(
        PublishedRow(
            variant=row["variant"],
            init=row["init"],
            rho=float(row["rho"]) if row["rho"] else None,
            test_accuracy=_percent(row["test_accuracy"]),
            difference=_percent(row["difference"]),
            backward_seconds=float(row["backprop_seconds"]),
            backward_ratio=float(row["ratio"]),
        )
        for row in csv.DictReader(text.splitlines())
    )


def find_published(model: ModelSpec, init: InitSpec, policy: PolicySpec) -> PublishedRow | None:
    """The row for this net, initialisation and policy, or None. Ignores width, data, training."""
    variant, rho = _variant_of(policy)
    if not isinstance(model, Vgg11Spec) or variant is None:
        return None
    for row in read_table1():
        if (row.variant, row.init, row.rho) == (variant, init.name, rho):
            return row
    return None


def _variant_of(policy: PolicySpec) -> tuple[str | None, float | None]:
    match policy:
        case FullPolicy() | RandomUniformPolicy():
            return policy.name, None
        case RandomBetaPolicy(alpha=2.0, beta=5.0):
            return policy.name, None
        case ProbTopKBottomQPolicy(k=k, q=q, rho=rho):
            return f"top_{k}_bottom_{q}", rho
        case TopKAllBottomsPolicy(k=k, rho=rho):
            return f"top_{k}_all_bottoms", rho
    return None, None


def _percent(text: str) -> float:
    return round(float(text) / 100, 6)
