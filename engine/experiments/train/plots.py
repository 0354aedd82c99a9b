"""The plots of a plain training: learning curves, bars (Figure 4), timings, nets (Figure 13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.analysis.stats import summarize_series, worst_outcome
from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from engine.drawing.accuracy_bars import accuracy_numbers, draw_accuracy_bars
from engine.drawing.bars import choose_bars, draw_rows
from engine.drawing.colors import HATCHES, OKABE_ITO, series_styles
from engine.drawing.figure import PAGE_INCHES, PlotFigure
from engine.drawing.notes import describe_marks, describe_seeds, name_with_marks
from engine.drawing.panels import add_panels, choose_lines, count_panel_columns
from engine.drawing.text import wrap
from engine.experiments.train.result import TrainPointResult
from engine.kind import PlotInput
from engine.labels import name_points
from engine.models.layout import layout
from engine.plotting import (
    PlotOptions,
    add_legend,
    add_title,
    describe_left_out,
    draw_message,
    drawing,
    legend_height,
    new_figure,
    plot_band,
    set_scales,
)

CONVOLUTION, LINEAR = "#9ECAE1", "#FDD0A2"
NAME_LETTERS, LINE_INCHES = 32, 0.165
"""Letters of a line of a point's name beside its bar, and its height."""
FEW_BARS, DENSE_ROW_INCHES = 12, 0.28
"""More bars are nearer to one another."""
PARTS = ("load", "forward", "backward", "optimizer", "cache", "evaluation", "probe")


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """The numbers of the plot `name`; the kind's README lists the fields."""
    return {
        "learning_curve": _learning_curve_numbers,
        "accuracy_bars": accuracy_numbers,
        "timings": _timing_numbers,
        "architecture": _architecture_numbers,
    }[name](source)


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The figure of the plot `name` from its numbers."""
    with drawing(options):
        if not numbers["points"]:
            return draw_message(options, "No results yet")
        return {
            "learning_curve": _draw_learning_curve,
            "accuracy_bars": draw_accuracy_bars,
            "timings": _draw_timings,
            "architecture": _draw_architecture,
        }[name](numbers, options)


def _learning_curve_numbers(source: PlotInput) -> dict[str, Any]:
    metrics = {metric: source.read_metric(metric) for metric in ("test_accuracy", "train_loss")}
    points = []
    for point in source.points:
        curves = {
            metric: summarize_series(series.get(point.index, {}))
            for metric, series in metrics.items()
        }
        if curves["test_accuracy"]["epoch"]:
            outcome = worst_outcome(result.outcome for result in point.results)
            points.append({"values": dict(point.values), "outcome": outcome, "curves": curves})
    return {"title": source.title, "points": points}


def _draw_learning_curve(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    all_points = numbers["points"]
    last = [(point["curves"]["test_accuracy"]["mean"] or [None])[-1] for point in all_points]
    chosen = choose_lines(last, options)
    points = [all_points[place] for place in chosen]
    figure = new_figure(options, 8.0, 3.8 + legend_height(len(points)))
    accuracy, loss = add_panels(figure, 2)
    labels = ["" if name == "net" else name for name in name_with_marks(all_points)]
    styles = series_styles([point["values"] for point in points])
    for place, point, style in zip(chosen, points, styles, strict=True):
        test, train = point["curves"]["test_accuracy"], point["curves"]["train_loss"]
        if len(test["epoch"]) < 3:
            style = style | {"marker": style["marker"] or "o"}
        plot_band(accuracy, test["epoch"], _percent(test), label=labels[place], **style)
        plot_band(loss, train["epoch"], train, label=labels[place], **style)
    accuracy.set(xlabel="Epoch", ylabel="Test accuracy (%)")
    loss.set(xlabel="Epoch", ylabel="Train loss (cross-entropy, nats)")
    if figure.is_fitted:
        loss.set_ylabel("Train loss (nats)")
    else:
        accuracy.set_title("Test accuracy")
        loss.set_title("Train loss")
    set_scales(loss, y=options.yscale or "log")
    for axes in (accuracy, loss):
        set_scales(axes, x="symlog" if options.xscale == "log" else "linear")
        if options.xscale != "log":
            axes.locator_params(axis="x", integer=True)
    add_legend(figure, accuracy)
    counts = [
        count for point in points for curve in point["curves"].values() for count in curve["n"]
    ]
    seeds = describe_seeds(counts, "band: one standard error") + describe_marks(points)
    add_title(figure, numbers["title"], seeds + describe_left_out(points, numbers))
    return figure


def _percent(curve: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "mean": [100 * value for value in curve["mean"]],
        "standard_error": [
            None if value is None else 100 * value for value in curve["standard_error"]
        ],
    }


def _timing_numbers(source: PlotInput) -> dict[str, Any]:
    points = []
    for point_result in source.summary:
        assert isinstance(point_result, TrainPointResult)
        parts = {part: getattr(point_result.timings, f"{part}_seconds") for part in PARTS}
        seconds = {part: one.mean if one else 0.0 for part, one in parts.items()}
        points.append(
            {"values": point_result.point, "seconds": seconds, "n": point_result.test_accuracy.n}
        )
    return {"title": source.title, "points": points}


def _draw_timings(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    all_points = numbers["points"]
    totals = [sum(filter(None, point["seconds"].values())) for point in all_points]
    labels = name_points(all_points)
    chosen = choose_bars(totals, options, labels)
    points = [all_points[place] for place in chosen]
    names = [wrap(labels[place] or "net", NAME_LETTERS) for place in chosen]
    usual = 0.45 if len(points) <= FEW_BARS else DENSE_ROW_INCHES
    row = max(usual, 0.1 + LINE_INCHES * max(name.count("\n") + 1 for name in names))
    figure = new_figure(options, 7.0, max(2.4, 1.5 + row * len(points)))
    axes = figure.subplots()
    left = [0.0] * len(points)
    for part, color, hatch in zip(PARTS, OKABE_ITO, HATCHES, strict=False):
        seconds = [point["seconds"][part] for point in points]
        if any(seconds):
            axes.barh(
                range(len(points)),
                seconds,
                0.7,
                left=left,
                color=color,
                label="probes" if part == "probe" else part,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.0,
            )
        left = [before + more for before, more in zip(left, seconds, strict=True)]
    if figure.is_fitted:
        draw_rows(figure, axes, names)
    else:
        axes.set_yticks(range(len(points)), names)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
    axes.set(xlabel="Seconds a seed (mean)")
    extremes = ", with the longest and the shortest"
    note = f"where the time goes{describe_left_out(points, numbers, extremes)}"
    add_title(figure, numbers["title"], note)
    add_legend(figure, axes)
    return figure


def _architecture_numbers(source: PlotInput) -> dict[str, Any]:
    points = []
    for point in source.points:
        info = BUILTIN_DATASETS.get(point.spec.data.name)
        if info is not None:
            points.append({"values": dict(point.values), **_describe_net(point.spec.model, info)})
    return {"title": source.title, "points": points}


def _describe_net(model: Any, info: DatasetInfo) -> dict[str, Any]:
    entries = layout(model, info)
    return {
        "model": model.name,
        "input": list(info.shape),
        "parameters": sum(entry.num_parameters for entry in entries),
        "layers": [
            {
                "name": entry.name,
                "kind": entry.kind,
                "parameters": entry.num_parameters,
                "output": list(entry.output_shape),
                "weights": [list(one.shape) for one in entry.parameters if len(one.shape) > 1],
            }
            for entry in entries
        ],
    }


DEEP_NET = 20
"""A net of more layers has one line a layer"""
MOST_NETS = 4
"""Nets of one figure."""
ROW_INCHES, DEEP_ROW_INCHES = 0.36, 0.16
"""Height of a layer in a figure of a chosen width."""


def _draw_architecture(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    points = numbers["points"][:MOST_NETS]
    rows = max(len(point["layers"]) for point in points)
    is_deep = rows > DEEP_NET
    figure = new_figure(options, 3.6 * len(points) + 0.4, (0.24 if is_deep else 0.62) * rows + 0.8)
    columns = len(points)
    if figure.is_fitted:
        columns = count_panel_columns(figure, columns, columns)
        height = (DEEP_ROW_INCHES if is_deep else ROW_INCHES) * (rows + 0.6)
        points = points[: columns * max(1, int(PAGE_INCHES / height))]
        lines = -(-len(points) // columns)
    else:
        height, lines = 0.0, 1
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, point in zip(panels.flat, points, strict=False):
        _draw_net(figure, axes, point, rows, is_deep)
    figure.set_panel_height(panels[:, 0], height * lines)
    total = numbers.get("num_points", len(numbers["points"]))
    if len(points) < total:
        first = "" if numbers.get("chosen") else "the first "
        figure.supxlabel(
            f"{first}{len(points)} of {total} nets",
            fontsize=figure.text_size(7.5),
        )
    return figure


def _draw_net(
    figure: PlotFigure, axes: Axes, point: Mapping[str, Any], rows: int, is_deep: bool
) -> None:
    axes.set(xlim=(0, 1), ylim=(-0.6, rows))
    name = _NET_NAMES.get(point["model"], point["model"])
    axes.set_title(f"{name}: p = {point['parameters']:,}")
    place: dict[str, Any] = {"ha": "center", "va": "center"}
    big, small = figure.text_size(7.5), figure.text_size(6.5)
    axes.text(0.5, -0.3, f"input {_times(point['input'])}", fontsize=big, **place)
    for index, layer in enumerate(point["layers"]):
        color = CONVOLUTION if any(len(shape) == 4 for shape in layer["weights"]) else LINEAR
        axes.add_patch(_box(index, color))
        weights = _describe_weights(layer["weights"])
        if is_deep:
            text = f"{index + 1}  {weights}: {layer['parameters']:,}"
            axes.text(0.5, index + 0.41, text, fontsize=small, **place)
            continue
        axes.text(0.5, index + 0.54, f"{index + 1}  {weights}", fontsize=big, **place)
        text = f"{layer['parameters']:,} parameters, out {_times(layer['output'])}"
        axes.text(0.5, index + 0.24, text, fontsize=small, color="#444444", **place)


_NET_NAMES = {
    "relu_net": "ReLU-Net",
    "mlp": "MLP",
    "conv_net": "Conv-Net",
    "vgg5": "VGG-5",
    "vgg11": "VGG-11",
    "resnet18": "ResNet-18",
}


def _box(index: int, color: str) -> Any:
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch(
        (0.03, index + 0.08),
        0.94,
        0.66,
        boxstyle="round,pad=0.0,rounding_size=0.05",
        facecolor=color,
        edgecolor="#555555",
    )


def _describe_weights(shapes: Sequence[Sequence[int]]) -> str:
    if len(shapes) > 3:
        return f"block of {len(shapes)} weights"
    return ", ".join(map(_describe_weight, shapes)) or "no weights"


def _describe_weight(shape: Sequence[int]) -> str:
    if len(shape) == 4:
        return f"{shape[2]}×{shape[3]} conv {shape[0]}"
    if len(shape) == 2:
        return f"fully connected {shape[0]}"
    return f"parameter {_times(shape)}"


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
