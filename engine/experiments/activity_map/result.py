"""The results of an activity map: of a seed and of a point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from engine.analysis.fractions import percent_key
from engine.analysis.stats import POSITIVE, SHARE, Bounds, point_fields, summarize
from engine.kind import FinishedPoint
from engine.result import PointResult, ResultModel, SeedResult, Statistic

_OfLayer = Callable[["ActivityMapSeedResult", int, str], float | None]
"""A quantity of one seed's layer at one alpha."""


class LayerActivity(ResultModel):
    """One layer of one seed's net, weights and biases together."""

    name: str
    """`layers.{i}`, counted from the bottom."""
    shape: tuple[int, ...] | None
    """Of the weights, outputs first; null for a block of several tensors."""
    parameters: int
    active: dict[str, int]
    """By alpha: active parameters of the layer, summed over epochs."""


class ActivityMapSeedResult(SeedResult):
    """One seed's counts of active parameters."""

    alphas_percent: tuple[float, ...]
    num_epochs: int
    """Epochs counted: those whose gradient over the train set was finite."""
    layers: tuple[LayerActivity, ...]
    """Bottom first."""
    tied: dict[str, int]
    """By alpha: active parameters chosen by index among equal gradients, summed over epochs."""
    zeros: int
    """Gradient components that were exactly zero, summed over epochs; these are never active."""


class LayerSummary(ResultModel):
    """One layer over the seeds of a point. By alpha, null where nothing was ever active."""

    name: str
    shape: tuple[int, ...] | None
    parameters: int
    parameter_share: float
    """The layer's share of all parameters, which equals its share of active ones by chance."""
    share: dict[str, Statistic | None]
    """The layer's share of the active set, over all epochs."""
    concentration: dict[str, Statistic | None]
    """share / parameter_share: 1 by chance, at most 100 / alpha."""
    mean_frequency: dict[str, Statistic | None]
    """Share of epochs in which a parameter of the layer was active, averaged over the layer."""


class ActivityMapPointResult(PointResult):
    """One point over its seeds."""

    alphas_percent: tuple[float, ...]
    num_epochs: Statistic
    """Epochs counted."""
    layers: tuple[LayerSummary, ...]
    """Bottom first."""
    tied_share: dict[str, Statistic | None]
    """By alpha: share of the active set that was chosen by index among equal gradients."""
    zero_share: Statistic | None
    """Share of all gradient components that were exactly zero."""


def summarize_points(points: Sequence[FinishedPoint]) -> list[PointResult]:
    """One result for each point with at least one finished seed."""
    return [_summarize_point(point) for point in points if point.results]


def as_activity(result: SeedResult) -> ActivityMapSeedResult:
    assert isinstance(result, ActivityMapSeedResult)
    return result


def share_of_layer(result: ActivityMapSeedResult, layer: int, alpha: str) -> float | None:
    """The layer's share of the seed's active set; None where nothing was active."""
    total = sum(one.active[alpha] for one in result.layers)
    return result.layers[layer].active[alpha] / total if total else None


def concentration_of_layer(result: ActivityMapSeedResult, layer: int, alpha: str) -> float | None:
    """The layer's share of the active set over its share of parameters, or None."""
    share = share_of_layer(result, layer, alpha)
    return None if share is None else share / _parameter_share(result, layer)


def concentration_bounds(result: ActivityMapSeedResult, layer: int) -> Bounds:
    """What the concentration of a layer can be: all of the active set may be in it."""
    return 0.0, 1 / _parameter_share(result, layer)


def _parameter_share(result: ActivityMapSeedResult, layer: int) -> float:
    return result.layers[layer].parameters / _count_parameters(result)


def _count_parameters(result: ActivityMapSeedResult) -> int:
    return sum(layer.parameters for layer in result.layers)


def _summarize_point(point: FinishedPoint) -> ActivityMapPointResult:
    results = [as_activity(result) for result in point.results]
    alphas = results[0].alphas_percent
    return ActivityMapPointResult(
        **point_fields(point),
        alphas_percent=alphas,
        num_epochs=summarize((result.num_epochs for result in results), POSITIVE),
        layers=tuple(_summarize_layer(results, layer) for layer in range(len(results[0].layers))),
        tied_share={
            key: _summarize((_tied_share(result, key) for result in results), SHARE)
            for key in map(percent_key, alphas)
        },
        zero_share=_summarize(map(_zero_share, results), SHARE),
    )


def _summarize_layer(results: Sequence[ActivityMapSeedResult], layer: int) -> LayerSummary:
    first_result = results[0]
    first = first_result.layers[layer]

    def by_alpha(quantity: _OfLayer, bounds: Bounds) -> dict[str, Statistic | None]:
        return {
            key: _summarize((quantity(result, layer, key) for result in results), bounds)
            for key in first.active
        }

    return LayerSummary(
        name=first.name,
        shape=first.shape,
        parameters=first.parameters,
        parameter_share=_parameter_share(first_result, layer),
        share=by_alpha(share_of_layer, SHARE),
        concentration=by_alpha(concentration_of_layer, concentration_bounds(first_result, layer)),
        mean_frequency=by_alpha(_mean_frequency, SHARE),
    )


def _mean_frequency(result: ActivityMapSeedResult, layer: int, alpha: str) -> float | None:
    one = result.layers[layer]
    return one.active[alpha] / (one.parameters * result.num_epochs) if result.num_epochs else None


def _tied_share(result: ActivityMapSeedResult, alpha: str) -> float | None:
    total = sum(layer.active[alpha] for layer in result.layers)
    return result.tied[alpha] / total if total else None


def _zero_share(result: ActivityMapSeedResult) -> float | None:
    components = _count_parameters(result) * result.num_epochs
    return result.zeros / components if components else None


def _summarize(values: Iterable[float | None], bounds: Bounds) -> Statistic | None:
    """Over the seeds that have a value."""
    known = [value for value in values if value is not None]
    return summarize(known, bounds) if known else None
