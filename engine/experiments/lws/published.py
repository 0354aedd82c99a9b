"""Numbers that the paper prints about layer-wise sparse SGD: Table 1, and bounds in its text."""

from __future__ import annotations

from engine.experiments.lws.spec import LwsSpec
from engine.models.spec import InitSpec, ModelSpec, Vgg5Spec, Vgg11Spec
from engine.paper.published import PublishedNumber, publish_exactly
from engine.paper.table1 import find_published
from engine.spec import ExperimentSpec
from engine.training.policies import (
    MiddlePolicy,
    PolicySpec,
    ProbTopKBottomQPolicy,
    TopKAllBottomsPolicy,
    TopKBottomQPolicy,
    TopKPolicy,
)

SMALLEST_RHO = 0.1


def list_published(spec: ExperimentSpec) -> tuple[PublishedNumber, ...]:
    """What the paper prints about this net with this initialisation and policy.

    Data and training are ignored: `engine.paper.departures` lists where those differ.
    """
    assert isinstance(spec, LwsSpec)
    chosen = (spec.model, spec.init, spec.policy)
    return (*_table1_row(*chosen), *_bounds_in_text(*chosen))


def _table1_row(model: ModelSpec, init: InitSpec, policy: PolicySpec) -> list[PublishedNumber]:
    row = find_published(model, init, policy)
    if row is None:
        return []
    accuracy, difference, seconds = row.test_accuracy, row.difference, row.backward_seconds
    ratio = row.backward_ratio
    words = (
        ("test_accuracy", accuracy, f"{100 * accuracy:.2f} %"),
        (
            "difference_to_xavier",
            difference,
            f"{100 * difference:+.2f} points, to the full net from Xavier",
        ),
        ("backward_seconds", seconds, f"{seconds:.2f} s on an NVIDIA Tesla K40m"),
        ("backward_ratio", ratio, f"{ratio:g}, a ratio of mean times"),
    )
    return [publish_exactly(name, value, printed, "Table 1") for name, value, printed in words]


def _bounds_in_text(model: ModelSpec, init: InitSpec, policy: PolicySpec) -> list[PublishedNumber]:
    found = []
    match model, policy:
        case (Vgg5Spec(), TopKPolicy(k=3 | 4) | TopKBottomQPolicy() | MiddlePolicy()):
            printed = "the degradation in generalization performance does not exceed 2%"
            found.append(PublishedNumber("difference", -0.02, None, printed, "Section 6.1"))
        case (Vgg11Spec(), MiddlePolicy()):
            printed = "less than 5% performance drop"
            found.append(PublishedNumber("difference", -0.05, None, printed, "Section 6.1"))
    is_best = isinstance(model, Vgg5Spec) or (
        isinstance(model, Vgg11Spec) and init.name == "pretrained"
    )
    if is_best and isinstance(policy, TopKAllBottomsPolicy) and policy.rho == SMALLEST_RHO:
        printed = "approximately 2 to 5 times faster than doing full back-propagation"
        found.append(PublishedNumber("backward_ratio", 1 / 5, 1 / 2, printed, "Figures 9 and 22"))
    if isinstance(model, Vgg5Spec | Vgg11Spec) and isinstance(
        policy, TopKAllBottomsPolicy | ProbTopKBottomQPolicy
    ):
        printed = "could approximately reduce the overall training time by half"
        found.append(PublishedNumber("train_ratio", 0.5, 0.5, printed, "Figure 12"))
    return found
