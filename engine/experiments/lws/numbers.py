"""The numbers behind each plot of layer-wise sparse SGD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import fmean
from typing import Any

from engine.analysis.stats import summarize
from engine.experiments.lws.result import LwsPointResult, LwsSeedResult
from engine.experiments.lws.spec import LwsSpec
from engine.kind import FinishedPoint, PlotInput
from engine.labels import label_points
from engine.paper.departures import list_departures
from engine.paper.table1 import find_published
from engine.training.policies import PolicySpec, family_of, title_of

OURS = (
    "test_accuracy",
    "difference",
    "difference_to_xavier",
    "backward_seconds",
    "backward_ratio",
    "train_seconds",
    "train_ratio",
)
PUBLISHED = ("test_accuracy", "difference", "backward_seconds", "backward_ratio")


def point_numbers(source: PlotInput) -> dict[str, Any]:
    """`{"title", "points"}`: each point's names and statistics, for bars and scatters."""
    points = []
    settings = _list_settings(source)
    for point, point_result in _finished(source):
        setting = settings[point.index]
        statistics = {name: _dump(getattr(point_result, name)) for name in OURS}
        points.append(
            {
                **_identity(point, setting),
                "outcome": point_result.outcome,
                "n": point_result.test_accuracy.n,
                **statistics,
            }
        )
    return {"title": source.title, "points": points}


def curve_numbers(source: PlotInput) -> dict[str, Any]:
    """`{"title", "points"}`: lists by epoch of the time in backward so far and of both errors.

    Each item is a mean over the seeds that trained in the epoch; `n` of an error counts them.
    """
    metrics = {name: source.read_metric(f"{name}_accuracy") for name in ("test", "train")}
    points = []
    settings = _list_settings(source)
    for point, point_result in _finished(source):
        setting = settings[point.index]
        results = [result for result in point.results if isinstance(result, LwsSeedResult)]
        epochs = max(len(result.cumulative_backward_seconds) for result in results)
        errors = {
            f"{name}_error": _error_series(metrics[name].get(point.index, {}), results, epochs)
            for name in ("test", "train")
        }
        points.append(
            {
                **_identity(point, setting),
                "outcome": point_result.outcome,
                "n": len(results),
                "epoch": list(range(1, epochs + 1)),
                "backward_seconds": _mean_seconds(results, epochs),
                **errors,
            }
        )
    return {"title": source.title, "points": points}


def table_numbers(source: PlotInput) -> dict[str, Any]:
    """`{"title", "columns", "points", "departures"}`: one row per point.

    Our columns hold statistics. The `published_...` columns hold the number in Table 1, or null
    where Table 1 does not have the point. Accuracies and differences are in [0, 1].
    """
    rows = []
    for row, (point, _) in zip(point_numbers(source)["points"], _finished(source), strict=True):
        assert isinstance(point.spec, LwsSpec)
        published = find_published(point.spec.model, point.spec.init, point.spec.policy)
        rows.append(
            {
                **row,
                **{
                    f"published_{name}": getattr(published, name) if published else None
                    for name in PUBLISHED
                },
            }
        )
    finished = _finished(source)
    seeds = min((len(point.results) for point, _ in finished), default=0)
    columns = ["policy", "setting", "n", *OURS, *(f"published_{name}" for name in PUBLISHED)]
    return {
        "title": source.title,
        "columns": columns,
        "points": rows,
        "departures": list(list_departures((point.spec for point, _ in finished), seeds)),
    }


def _finished(source: PlotInput) -> list[tuple[FinishedPoint, LwsPointResult]]:
    finished = [point for point in source.points if point.results]
    pairs = list(zip(finished, source.summary, strict=True))
    return [
        (point, point_result)
        for point, point_result in pairs
        if isinstance(point_result, LwsPointResult)
    ]


def _identity(point: FinishedPoint, setting: str) -> dict[str, Any]:
    """How a plot names the point; `setting` tells the swept values other than the policy apart."""
    assert isinstance(point.spec, LwsSpec)
    policy: PolicySpec = point.spec.policy
    return {
        "values": dict(point.values),
        "policy": title_of(policy),
        "family": family_of(policy),
        "kind_of_policy": policy.name,
        "rho": getattr(policy, "rho", None),
        "setting": setting,
    }


def _list_settings(source: PlotInput) -> list[str]:
    """As `label_points`, of the values other than the policy, with the paper's names of inits.

    Of every point of the experiment, by index.
    """
    others = [
        {
            name: value
            for name, value in values.items()
            if name != "policy" and not name.startswith("policy.")
        }
        for values in source.values
    ]
    inits = [_name_init(values.get("init")) for values in others]
    if None in inits:
        return label_points(others)
    rest = [{name: value for name, value in one.items() if name != "init"} for one in others]
    return [", ".join(filter(None, parts)) for parts in zip(inits, label_points(rest), strict=True)]


def _name_init(init: Any) -> str | None:
    known = {"xavier": "Xavier", "pretrained": "pretrained"}
    return known.get(init["name"]) if isinstance(init, Mapping) and set(init) == {"name"} else None


def _dump(statistic: Any) -> dict[str, Any] | None:
    return None if statistic is None else statistic.model_dump(mode="json")


def _mean_seconds(results: Sequence[LwsSeedResult], epochs: int) -> list[float]:
    """Time in backward up to each epoch; that of an epoch is the mean of the seeds that have it.

    So the time does not fall where a slow seed ends early.
    """
    series = [result.cumulative_backward_seconds for result in results]
    means = [
        fmean(one[epoch] - (one[epoch - 1] if epoch else 0.0) for one in series if epoch < len(one))
        for epoch in range(epochs)
    ]
    return list(accumulate(means))


def _error_series(
    by_seed: Mapping[int, Sequence[tuple[int, float | None]]],
    results: Sequence[LwsSeedResult],
    epochs: int,
) -> dict[str, list[Any]]:
    """Mean, standard error and n of 1 - accuracy at epochs 1 to `epochs`; None without values."""
    accuracy = {result.seed: dict(by_seed.get(result.seed, ())) for result in results}
    found: dict[str, list[Any]] = {"mean": [], "standard_error": [], "n": []}
    for epoch in range(1, epochs + 1):
        values = [
            1 - value for series in accuracy.values() if (value := series.get(epoch)) is not None
        ]
        statistic = summarize(values) if values else None
        found["mean"].append(statistic.mean if statistic else None)
        found["standard_error"].append(statistic.standard_error if statistic else None)
        found["n"].append(len(values))
    return found
