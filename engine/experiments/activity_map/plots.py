"""The plots of an activity map: maps by layer, shares of the active set, concentration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from engine.analysis.fractions import percent_key
from engine.drawing.colors import pick_shades, series_markers
from engine.drawing.figure import PAGE_INCHES, PlotFigure
from engine.drawing.notes import describe_marks, describe_seeds, name_with_marks
from engine.drawing.panels import (
    add_panels,
    choose_lines,
    count_panel_columns,
    is_first_column,
    is_last_row,
    panel_height,
)
from engine.drawing.text import wrap
from engine.experiments.activity_map.fitted_maps import draw_fitted_maps
from engine.experiments.activity_map.numbers import Reduction, map_numbers, share_numbers
from engine.experiments.activity_map.wording import (
    LETTERS_PER_INCH,
    READING,
    describe_bins,
    describe_point,
    name_piece,
    title_of_panel,
)
from engine.kind import PlotInput
from engine.labels import name_points
from engine.plotting import (
    PlotOptions,
    add_title,
    choose_points,
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
MOST_SHARES = 15
"""Panels of the plot of shares, likewise."""
TITLE_INCHES = 0.6
"""Above and below a panel of shares in a figure of a chosen width."""
MANY_LAYERS, FITTED_LAYERS = 12, 8
"""More have ticks at only so many where a width is chosen, and no caps on error bars."""
CONCENTRATION_INCHES = 1.4
"""Most height of a panel of the concentration in a figure of a chosen width."""
SHARE_LABEL = "Share of the active set (%)"
RATIO_LABEL = "Share of the active set /\nshare of the parameters"
FITTED_RATIO_LABEL = "Share of active set /\nshare of parameters"
NOTE_LETTERS_PER_INCH = 17.0
"""Of the note below the maps."""


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """The numbers of the plot `name`; the kind's README lists the fields."""
    if name in REDUCTIONS:
        return map_numbers(source, REDUCTIONS[name])
    return share_numbers(source)


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The figure of the plot `name` from its numbers."""
    with drawing(options):
        if not numbers["points"]:
            return draw_message(options, "No results yet")
        return {
            "activity_map": _draw_maps,
            "activity_map_max": _draw_maps,
            "layer_shares": _draw_shares,
            "concentration": _draw_concentration,
        }[name](numbers, options)


def _draw_maps(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """A block of rows for each point, a row for each alpha, a column for each weight tensor.

    In a figure of a chosen width, a block of columns for each point, a row for each tensor.
    """
    if options.width is not None:
        return draw_fitted_maps(numbers, options)
    num_columns = max(len(point["maps"]) for point in numbers["points"])
    chosen = _choose_points(numbers["points"], num_columns)
    points = [numbers["points"][place] for place in chosen]
    names = name_points(numbers["points"])
    heights = [size for point in points for size in (0.36, *[1.0] * len(point["alphas_percent"]))]
    figure = new_figure(options, 1.5 + 1.5 * num_columns, 1.1 + 1.12 * sum(heights))
    grid = figure.add_gridspec(len(heights), num_columns, height_ratios=heights)
    panels: list[Axes] = []
    row = 0
    for place, point in zip(chosen, points, strict=True):
        header = figure.add_subplot(grid[row, :])
        header.set_axis_off()
        header.text(
            0.0,
            0.1,
            describe_point(point, names[place], int(LETTERS_PER_INCH * figure.get_figwidth())),
            transform=header.transAxes,
            va="bottom",
            weight="bold",
        )
        row += 1
        for at, alpha in enumerate(point["alphas_percent"]):
            for column, layer in enumerate(point["maps"]):
                axes = figure.add_subplot(grid[row, column])
                _draw_map(axes, layer["frequency"][percent_key(alpha)])
                if at == 0:
                    axes.set_title(_describe_map(layer, point), fontsize=7.0)
                if column == 0:
                    axes.set_ylabel(_name_alpha(alpha))
                panels.append(axes)
            row += 1
    figure.colorbar(ScalarMappable(cmap=COLOR_MAP), ax=panels, label=describe_bins(numbers))
    add_title(figure, numbers["title"])
    seeds = describe_seeds(point["n"] for point in points).capitalize()
    note = f"{READING} {seeds}{describe_left_out(points, numbers)}."
    figure.supxlabel(
        wrap(note, int(NOTE_LETTERS_PER_INCH * figure.get_figwidth())), fontsize=7.5, color=GREY
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
    piece = name_piece(layer, point)
    rows, columns = layer["shape"]
    height, width = layer["bin_shape"]
    bins = f"\n{height:,} × {width:,} a bin" if height * width > 1 else ""
    return (
        f"layer {layer['layer']}{piece}: {rows:,} × {columns:,}\n{layer['weights']:,} weights{bins}"
    )


def _choose_points(points: Sequence[Mapping[str, Any]], num_columns: int) -> list[int]:
    """The points that are drawn: at least four, and as many as MOST_MAPS hold."""
    num_rows = max(len(point["alphas_percent"]) for point in points)
    most = max(4, MOST_MAPS // (num_columns * num_rows))
    return choose_points([point["test_accuracy"]["mean"] for point in points], most)


def _draw_shares(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """A panel for each point: bars by layer and alpha, ticks at the layer's share of parameters."""
    names = name_points(numbers["points"])
    scores = [point["test_accuracy"]["mean"] for point in numbers["points"]]
    most = max(len(point["layers"]) for point in numbers["points"])
    usual_columns = min(3, len(names))
    width = max(6.4, usual_columns * max(3.2, 0.9 + 0.62 * most))
    usual_rows = -(-min(len(names), MOST_SHARES) // usual_columns)
    figure = new_figure(options, width, 0.9 + 2.9 * usual_rows)
    num_columns = count_panel_columns(figure, len(names), 3)
    height = panel_height(figure, num_columns)
    page = num_columns * int(PAGE_INCHES / (height + TITLE_INCHES)) if figure.is_fitted else 0
    chosen = choose_points(scores, page or MOST_SHARES)
    points = [numbers["points"][place] for place in chosen]
    alphas = _list_alphas(numbers["points"])
    shades = dict(zip(alphas, pick_shades(len(alphas)), strict=True))
    num_rows = -(-len(points) // num_columns)
    panels = figure.subplots(num_rows, num_columns, sharey=True, squeeze=False)
    figure.set_panel_height(panels[:, 0], num_rows * height)
    for axes, place, point in zip(panels.flat, chosen, points, strict=False):
        _draw_bars(figure, axes, point, shades)
        axes.set_title(
            title_of_panel(figure, point, names[place], num_columns),
            fontsize=figure.text_size(8.5),
        )
    for axes in list(panels.flat)[len(points) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("Share of active set (%)" if figure.is_fitted else SHARE_LABEL)
    panels[0, 0].set_ylim(
        bottom=0
    )  # the panels share this axis; it is set after all bars are drawn
    _add_share_legend(figure, {alpha: shades[alpha] for alpha in _list_alphas(points)})
    note = _describe_seeds(points, "share") + describe_left_out(points, numbers)
    add_title(figure, numbers["title"], note)
    return figure


def _list_alphas(points: Sequence[Mapping[str, Any]]) -> list[float]:
    return sorted({alpha for point in points for alpha in point["alphas_percent"]})


def _name_alpha(alpha: float) -> str:
    return rf"$\alpha$ = {percent_key(alpha)} %"


def _add_share_legend(figure: PlotFigure, shades: Mapping[float, Any]) -> None:
    """shades: of every alpha of some panel."""
    style = {"color": "black", "linewidth": 1.2 * rcParams["lines.linewidth"]}
    handles: list[Any] = [Line2D([], [], **style)]
    handles += [Patch(color=color) for color in shades.values()]
    labels = ["share of the parameters", *map(_name_alpha, shades)]
    draw_legend(figure, handles, labels, fitting_columns(figure.get_figwidth(), labels))


def _draw_bars(
    figure: PlotFigure, axes: Axes, point: Mapping[str, Any], shades: Mapping[float, Any]
) -> None:
    """shades: of each alpha, the same in every panel."""
    layers, alphas = point["layers"], point["alphas_percent"]
    width = 0.8 / len(alphas)
    for number, alpha in enumerate(alphas):
        places = [place - 0.4 + (number + 0.5) * width for place in range(len(layers))]
        statistics = [layer["share"][percent_key(alpha)] for layer in layers]
        axes.bar(
            places,
            [100 * (one["mean"] if one else 0.0) for one in statistics],
            width,
            yerr=[error_bar(one, 100) for one in statistics],
            capsize=figure.scaled(2 if len(layers) <= MANY_LAYERS else 0),
            color=shades[alpha],
            error_kw={"elinewidth": figure.scaled(0.8)},
        )
    for place, layer in enumerate(layers):
        share = 100 * layer["parameter_share"]
        axes.plot(
            [place - 0.45, place + 0.45],
            [share, share],
            color="black",
            linewidth=1.2 * rcParams["lines.linewidth"],
        )
    _name_layers(figure, axes, len(layers))
    axes.grid(axis="x", visible=False)


def _name_layers(figure: PlotFigure, axes: Axes, count: int) -> None:
    """Ticks with the numbers of the layers, the ends named; few of many where width is chosen."""
    names = [str(number) for number in range(1, count + 1)]
    if figure.is_fitted and count > MANY_LAYERS:
        step = -(-count // FITTED_LAYERS)
        places = [*range(0, count - step, step), count - 1]
        axes.set_xlabel("Layer, from bottom to top")
    else:
        places = list(range(count))
        if count > 1:
            names[0], names[-1] = f"{names[0]}\nbottom", f"{names[-1]}\ntop"
    axes.set_xticks(places, [names[place] for place in places])


def _draw_concentration(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """A panel for each alpha, with a line for each point.

    Shows each layer's share of the active set over its share of the parameters.
    """
    all_points = numbers["points"]
    chosen = choose_lines([point["test_accuracy"]["mean"] for point in all_points], options)
    points = [all_points[place] for place in chosen]
    all_names = name_with_marks(all_points)
    alphas = _list_alphas(points)
    most = max(len(point["layers"]) for point in points)
    height = 3.7 + legend_height(len(points) + 2)
    figure = new_figure(options, len(alphas) * max(2.5, 0.9 + 0.42 * most), height)
    panels = add_panels(figure, len(alphas), most_inches=CONCENTRATION_INCHES, sharey=True)
    colors = series_colors([point["values"] for point in points])
    markers = series_markers(len(points))
    for axes, alpha in zip(panels, alphas, strict=True):
        for place, point, color, marker in zip(chosen, points, colors, markers, strict=True):
            if alpha in point["alphas_percent"]:
                style = {"color": color, "marker": marker, "label": all_names[place]}
                _draw_line(figure, axes, point, percent_key(alpha), style)
        for level, color, dash in ((1.0, "black", "--"), (100 / alpha, GREY, ":")):
            axes.axhline(level, color=color, linestyle=dash, linewidth=figure.scaled(1.0))
        _name_layers(figure, axes, most)
        axes.set(title=_name_alpha(alpha))
        if not axes.get_xlabel() and is_last_row(axes):
            axes.set_xlabel("Layer")
        if options.yscale is None:
            axes.set_yscale("symlog", linthresh=0.1)
        else:
            set_scales(axes, y=options.yscale)
        axes.set_ylim(bottom=0 if options.yscale != "log" else None)
        if is_first_column(axes):
            axes.set_ylabel(FITTED_RATIO_LABEL if figure.is_fitted else RATIO_LABEL)
    panels[0].yaxis.set_major_formatter("{x:g}")
    lines = [
        Line2D([], [], color=color, marker=marker, markersize=figure.scaled(4))
        for color, marker in zip(colors, markers, strict=True)
    ]
    _add_concentration_legend(figure, lines, [all_names[place] for place in chosen])
    seeds = _describe_seeds(points, "concentration") + describe_marks(points)
    add_title(figure, numbers["title"], seeds + describe_left_out(points, numbers))
    return figure


def _describe_seeds(points: Sequence[Mapping[str, Any]], quantity: str) -> str:
    statistics = [
        statistic
        for point in points
        for layer in point["layers"]
        for statistic in layer[quantity].values()
    ]
    counts = (statistic["n"] for statistic in statistics if statistic is not None)
    return describe_seeds(counts, "one standard error")


def _draw_line(
    figure: PlotFigure,
    axes: Axes,
    point: Mapping[str, Any],
    alpha: str,
    style: Mapping[str, Any],
) -> None:
    known = [
        (place, statistic)
        for place, layer in enumerate(point["layers"])
        if (statistic := layer["concentration"][alpha]) is not None
    ]
    axes.errorbar(
        [place for place, _ in known],
        [statistic["mean"] for _, statistic in known],
        yerr=[error_bar(statistic) for _, statistic in known],
        markersize=figure.scaled(4),
        capsize=figure.scaled(2 if len(known) <= MANY_LAYERS else 0),
        **style,
    )


def _add_concentration_legend(
    figure: Figure, lines: Sequence[Line2D], names: Sequence[str]
) -> None:
    """lines, names: of every point, in whichever panels it has a line."""
    handles = [
        *lines,
        Line2D([], [], color="black", linestyle="--", linewidth=1.0),
        Line2D([], [], color=GREY, linestyle=":", linewidth=1.0),
    ]
    labels = [*names, "by chance", r"most possible, $100/\alpha$"]
    draw_legend(figure, handles, labels, fitting_columns(figure.get_figwidth(), labels))
