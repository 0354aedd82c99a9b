"""The plots of an activity map: maps by layer, shares of the active set, concentration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.analysis.fractions import percent_key
from engine.drawing.text import wrap
from engine.experiments.activity_map.numbers import Reduction, map_numbers, share_numbers
from engine.kind import PlotInput
from engine.labels import label_points
from engine.plotting import (
    OKABE_ITO,
    PlotOptions,
    add_legend,
    add_title,
    describe_left_out,
    draw_legend,
    draw_message,
    drawing,
    error_bar,
    fitting_columns,
    legend_height,
    new_figure,
    series_colors,
    set_scales,
)

COLOR_MAP = "coolwarm"
"""Blue (0) to red (1) as in the paper; colour-blind readers can distinguish them."""
REDUCTIONS: Mapping[str, Reduction] = {"activity_map": "mean", "activity_map_max": "max"}
GREY = "#666666"
MOST_MAPS = 120
"""Maps of one figure; the numbers hold those of all points."""
MOST_SHARES = 30
"""Panels of the plot of shares, likewise."""
LETTERS_PER_INCH, NOTE_LETTERS_PER_INCH = 13.0, 17.0
"""Of a point's name, and of the note below the maps."""


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """The numbers of the plot `name`; the kind's README lists the fields."""
    if name in REDUCTIONS:
        return map_numbers(source, REDUCTIONS[name])
    return share_numbers(source)


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The figure of the plot `name` from its numbers."""
    with drawing():
        if not numbers["points"]:
            return draw_message(options, "No results yet")
        return {
            "activity_map": _draw_maps,
            "activity_map_max": _draw_maps,
            "layer_shares": _draw_shares,
            "concentration": _draw_concentration,
        }[name](numbers, options)


def _draw_maps(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """A block of rows for each point, a row for each alpha, a column for each weight tensor."""
    num_columns = max(len(point["maps"]) for point in numbers["points"])
    points = _choose_points(numbers["points"], num_columns)
    names = label_points([point["values"] for point in numbers["points"]])
    heights = [size for point in points for size in (0.36, *[1.0] * len(point["alphas_percent"]))]
    figure = new_figure(options, 1.5 + 1.5 * num_columns, 1.1 + 1.12 * sum(heights))
    grid = figure.add_gridspec(len(heights), num_columns, height_ratios=heights)
    panels: list[Axes] = []
    row = 0
    for point, name in zip(points, names, strict=False):
        header = figure.add_subplot(grid[row, :])
        header.set_axis_off()
        header.text(
            0.0,
            0.1,
            _describe_point(point, name, int(LETTERS_PER_INCH * figure.get_figwidth())),
            transform=header.transAxes,
            va="bottom",
            weight="bold",
        )
        row += 1
        for place, alpha in enumerate(point["alphas_percent"]):
            for column, layer in enumerate(point["maps"]):
                axes = figure.add_subplot(grid[row, column])
                _draw_map(axes, layer["frequency"][percent_key(alpha)])
                if place == 0:
                    axes.set_title(_describe_map(layer, point), fontsize=7.0)
                if column == 0:
                    axes.set_ylabel(rf"$\alpha$ = {percent_key(alpha)} %")
                panels.append(axes)
            row += 1
    words = "mean" if numbers["reduction"] == "mean" else "most active parameter"
    figure.colorbar(
        ScalarMappable(cmap=COLOR_MAP),
        ax=panels,
        label=f"Share of epochs active ({words} of each bin)",
    )
    add_title(figure, numbers["title"])
    figure.supxlabel(
        wrap(
            "Rows: outputs of a layer; columns: its inputs; kernels as tiles. "
            f"{_describe_seeds(points)}{describe_left_out(points, numbers['points'])}.",
            int(NOTE_LETTERS_PER_INCH * figure.get_figwidth()),
        ),
        fontsize=7.5,
        color=GREY,
    )
    return figure


def _draw_map(axes: Axes, frequency: Sequence[Sequence[float]]) -> None:
    axes.imshow(
        frequency, cmap=COLOR_MAP, vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest"
    )
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.5, color=GREY)


def _describe_map(layer: Mapping[str, Any], point: Mapping[str, Any]) -> str:
    """Layer number, shape of the picture, number of weights, and the bin's shape where it spans
    several weights.

    A layer with several tensors also names the tensor.
    """
    same = [other for other in point["maps"] if other["layer"] == layer["layer"]]
    piece = f" {layer['parameter'].split('.')[-2]}" if len(same) > 1 else ""
    rows, columns = layer["shape"]
    height, width = layer["bin_shape"]
    bins = f"\n{height:,} × {width:,} a bin" if height * width > 1 else ""
    return (
        f"layer {layer['layer']}{piece}: {rows:,} × {columns:,}\n{layer['weights']:,} weights{bins}"
    )


def _choose_points(
    points: Sequence[Mapping[str, Any]], num_columns: int
) -> Sequence[Mapping[str, Any]]:
    """The first points, at least one and as many as MOST_MAPS hold."""
    num_rows = max(len(point["alphas_percent"]) for point in points)
    return points[: max(1, MOST_MAPS // (num_columns * num_rows))]


def _describe_point(point: Mapping[str, Any], name: str, letters: int) -> str:
    accuracy = 100 * point["test_accuracy"]["mean"]
    mark = ", not trained" if point["outcome"] != "trained" else ""
    facts = f"(p = {point['parameters']:,}, test accuracy {accuracy:.1f} %{mark})"
    text = f"{name or 'net'}  {facts}"
    return text if len(text) <= letters else f"{wrap(name or 'net', letters)}\n{facts}"


def _describe_seeds(points: Sequence[Mapping[str, Any]]) -> str:
    counts = sorted({point["n"] for point in points})
    if counts == [1]:
        return "One seed"
    return f"Mean of {'–'.join(map(str, (counts[0], counts[-1])[: len(counts)]))} seeds"


def _draw_shares(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """A panel for each point: bars by layer and alpha, ticks at the layer's share of parameters."""
    points = numbers["points"][:MOST_SHARES]
    names = label_points([point["values"] for point in numbers["points"]])
    num_columns = min(3, len(points))
    num_rows = -(-len(points) // num_columns)
    most = max(len(point["layers"]) for point in points)
    figure = new_figure(
        options, max(6.4, num_columns * max(3.2, 0.9 + 0.62 * most)), 0.9 + 2.9 * num_rows
    )
    panels = figure.subplots(num_rows, num_columns, sharey=True, squeeze=False)
    letters = int(LETTERS_PER_INCH * figure.get_figwidth() / num_columns)
    for axes, point, name in zip(panels.flat, points, names, strict=False):
        _draw_bars(axes, point)
        axes.set_title(_describe_point(point, name, letters), fontsize=8.5)
    for axes in list(panels.flat)[len(points) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("Share of the active set (%)")
    panels[0, 0].set_ylim(
        bottom=0
    )  # the panels share this axis; it is set after all bars are drawn
    add_legend(figure, panels[0, 0])
    left_out = describe_left_out(points, numbers["points"])
    note = f"{_describe_seeds(points).lower()}, one standard error{left_out}"
    add_title(figure, numbers["title"], note)
    return figure


def _draw_bars(axes: Axes, point: Mapping[str, Any]) -> None:
    layers, alphas = point["layers"], [percent_key(alpha) for alpha in point["alphas_percent"]]
    width = 0.8 / len(alphas)
    for number, (alpha, color) in enumerate(zip(alphas, OKABE_ITO, strict=False)):
        places = [place - 0.4 + (number + 0.5) * width for place in range(len(layers))]
        statistics = [layer["share"][alpha] for layer in layers]
        axes.bar(
            places,
            [100 * (one["mean"] if one else 0.0) for one in statistics],
            width,
            yerr=[error_bar(one, 100) for one in statistics],
            capsize=2,
            color=color,
            error_kw={"elinewidth": 0.8},
            label=rf"$\alpha$ = {alpha} %",
        )
    for place, layer in enumerate(layers):
        share = 100 * layer["parameter_share"]
        label = "share of the parameters" if place == 0 else None
        axes.plot(
            [place - 0.45, place + 0.45], [share, share], color="black", linewidth=1.8, label=label
        )
    axes.set_xticks(range(len(layers)), _layer_names(len(layers)))
    axes.grid(axis="x", visible=False)


def _layer_names(count: int) -> list[str]:
    names = [str(number) for number in range(1, count + 1)]
    if count > 1:
        names[0], names[-1] = f"{names[0]}\nbottom", f"{names[-1]}\ntop"
    return names


def _draw_concentration(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """A panel for each alpha, with a line for each point.

    Shows each layer's share of the active set over its share of the parameters.
    """
    points = numbers["points"]
    alphas = sorted({alpha for point in points for alpha in point["alphas_percent"]})
    most = max(len(point["layers"]) for point in points)
    height = 3.7 + legend_height(len(points) + 2)
    figure = new_figure(options, len(alphas) * max(2.5, 0.9 + 0.42 * most), height)
    panels = figure.subplots(1, len(alphas), sharey=True, squeeze=False)[0]
    values = [point["values"] for point in points]
    colors, names = series_colors(values), label_points(values)
    for axes, alpha in zip(panels, alphas, strict=True):
        for point, name, color in zip(points, names, colors, strict=True):
            if alpha in point["alphas_percent"]:
                _draw_line(axes, point, percent_key(alpha), name or "net", color)
        axes.axhline(1.0, color="black", linewidth=1.0, linestyle="--")
        axes.axhline(100 / alpha, color=GREY, linewidth=1.0, linestyle=":")
        axes.set_xticks(range(most), _layer_names(most))
        axes.set(title=rf"$\alpha$ = {percent_key(alpha)} %", xlabel="Layer")
        if options.yscale is None:
            axes.set_yscale("symlog", linthresh=0.1)
        else:
            set_scales(axes, y=options.yscale)
        axes.set_ylim(bottom=0 if options.yscale != "log" else None)
    panels[0].set_ylabel("Share of the active set /\nshare of the parameters")
    panels[0].yaxis.set_major_formatter("{x:g}")
    _add_concentration_legend(figure, panels[0])
    add_title(figure, numbers["title"], f"{_describe_seeds(points).lower()}, one standard error")
    return figure


def _draw_line(axes: Axes, point: Mapping[str, Any], alpha: str, name: str, color: Any) -> None:
    known = [
        (place, statistic)
        for place, layer in enumerate(point["layers"])
        if (statistic := layer["concentration"][alpha]) is not None
    ]
    axes.errorbar(
        [place for place, _ in known],
        [statistic["mean"] for _, statistic in known],
        yerr=[error_bar(statistic) for _, statistic in known],
        marker="o",
        markersize=4,
        capsize=2,
        color=color,
        label=name,
    )


def _add_concentration_legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    handles += [
        Line2D([], [], color="black", linestyle="--", linewidth=1.0),
        Line2D([], [], color=GREY, linestyle=":", linewidth=1.0),
    ]
    labels += ["by chance", r"most possible, $100/\alpha$"]
    draw_legend(figure, handles, labels, fitting_columns(figure.get_figwidth(), labels))
