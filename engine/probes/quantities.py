"""The measured quantities by name: title, unit, definition, source. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from engine.answers import AnswerColumn, Unit, make_column
from engine.probes.spec import Group


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of the comparison of a net with its start."""

    name: str
    """The metric; of layer 0, the bottom one, it is `<name>_layer_0`."""
    group: Group
    title: str
    unit: Unit
    definition: str
    source: str
    has_layers: bool = False
    """Whether there is also a number for each layer."""
    bounds: tuple[float, float] = (0.0, inf)
    """What it can be, of the whole net and of a layer"""


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "kernel_distance",
        "tangent_kernel",
        "distance of the tangent kernel",
        "share",
        "‖K_t − K_0‖ / ‖K_0‖, Frobenius norms, K the tangent kernel of the batch",
        "arXiv 1906.08034",
    ),
    Quantity(
        "kernel_turn",
        "tangent_kernel",
        "turn of the tangent kernel",
        "",
        "1 − ⟨K_t, K_0⟩ / (‖K_t‖ ‖K_0‖): 0 where the kernel has only grown or shrunk",
        "arXiv 2010.15110",
        bounds=(0.0, 1.0),
    ),
    Quantity(
        "kernel_alignment",
        "tangent_kernel",
        "alignment of the tangent kernel with the labels",
        "",
        "Centred alignment of K_t and YYᵀ, Y the one-hot labels; of the full kernel, of its mean "
        "over the classes",
        "Cortes, Mohri and Rostamizadeh, JMLR 13 (2012)",
        bounds=(0.0, 1.0),
    ),
    Quantity(
        "linear_error",
        "linearised",
        "error of the linear model",
        "",
        "Root mean square over examples and classes of f_lin − f(θ_t), where "
        "f_lin = f(θ_0) + J(θ_0)(θ_t − θ_0)",
        "arXiv 1902.06720",
    ),
    Quantity(
        "linear_accuracy",
        "linearised",
        "accuracy of the linear model",
        "accuracy",
        "Accuracy of f_lin on the batch",
        "arXiv 2010.15110",
        bounds=(0.0, 1.0),
    ),
    Quantity(
        "probe_accuracy",
        "linearised",
        "accuracy on the probe batch",
        "accuracy",
        "Accuracy of f(θ_t) on the batch",
        "",
        bounds=(0.0, 1.0),
    ),
    Quantity(
        "linear_loss",
        "linearised",
        "loss of the linear model",
        "loss",
        "Mean cross-entropy of f_lin on the batch",
        "",
    ),
    Quantity(
        "probe_loss",
        "linearised",
        "loss on the probe batch",
        "loss",
        "Mean cross-entropy of f(θ_t) on the batch",
        "",
    ),
    Quantity(
        "movement",
        "movement",
        "movement of the parameters",
        "share",
        "‖θ_t − θ_0‖ / ‖θ_0‖",
        "arXiv 1812.07956",
        has_layers=True,
    ),
    Quantity(
        "cosine",
        "movement",
        "cosine of the parameters with their start",
        "",
        "⟨θ_t, θ_0⟩ / (‖θ_t‖ ‖θ_0‖)",
        "",
        has_layers=True,
        bounds=(-1.0, 1.0),
    ),
    Quantity(
        "cka",
        "features",
        "similarity of the features to their start (CKA)",
        "",
        "Linear CKA of a layer's output on the batch at t and at 0; the whole net: mean of layers",
        "arXiv 1905.00414",
        has_layers=True,
        bounds=(0.0, 1.0),
    ),
    Quantity(
        "relu_flips",
        "features",
        "flipped ReLUs",
        "share",
        "Share of the pairs of example and ReLU whose input is above 0 at t and not at 0, or the "
        "reverse",
        "arXiv 1812.07956",
        has_layers=True,
        bounds=(0.0, 1.0),
    ),
    Quantity(
        "effective_rank",
        "features",
        "effective rank of the last features",
        "",
        "exp(−Σ p log p), p the singular values of the last layer's input [n, d] over their sum",
        "Roy and Vetterli, EUSIPCO 2007",
        bounds=(1.0, inf),
    ),
)

_BY_NAME = {one.name: one for one in QUANTITIES}
_LAYER = re.compile(r"(.+)_layer_(\d+)")


def name_of_layer(name: str, layer: int) -> str:
    """The metric of one layer, counted from the bottom, which is 0."""
    return f"{name}_layer_{layer}"


def read_name(metric: str) -> tuple[Quantity, int | None] | None:
    """The quantity of a metric and its layer, None for the whole net; None for other metrics."""
    match = _LAYER.fullmatch(metric)
    name, layer = (match[1], int(match[2])) if match else (metric, None)
    found = _BY_NAME.get(name)
    if found is None or (layer is not None and not found.has_layers):
        return None
    return found, layer


def list_probe_columns(point: Mapping[str, Any]) -> Iterator[AnswerColumn]:
    """The quantities at the last measured epoch, of a point's result as JSON: whole net first.

    In the order of `QUANTITIES`, then those of layers.
    """
    measured: Mapping[str, Any] = point.get("probes") or {}
    known = [(name, *found) for name in measured if (found := read_name(name)) is not None]
    order = list(_BY_NAME)
    for name, quantity, layer in sorted(
        known, key=lambda one: (one[2] is not None, order.index(one[1].name), one[2] or 0)
    ):
        title = quantity.title if layer is None else f"{quantity.title}, layer {layer}"
        yield make_column(name, title, measured[name], unit=quantity.unit)
