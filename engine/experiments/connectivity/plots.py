"""The plots of linear mode connectivity: instability by split, errors along lines, layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.drawing.colors import series_styles
from engine.drawing.figure import PAGE_INCHES, PlotFigure
from engine.drawing.measure import wrap_to
from engine.drawing.notes import describe_marks, describe_seeds, name_with_marks
from engine.drawing.panels import (
    LABEL_INCHES,
    add_panels,
    choose_lines,
    count_panel_columns,
    is_first_column,
    panel_height,
)
from engine.drawing.text import wrap
from engine.experiments.connectivity.numbers import (
    instability_numbers,
    layer_numbers,
    line_numbers,
)
from engine.kind import PlotInput
from engine.plotting import (
    PlotOptions,
    add_title,
    choose_points,
    describe_left_out,
    draw_legend,
    draw_message,
    drawing,
    fitting_columns,
    legend_height,
    new_figure,
    plot_band,
    set_scales,
)

MOST_PANELS = 6
"""Points with a panel of their own; the numbers hold all."""
NAME_LETTERS, TITLE_SHARE = 42, 0.8
"""Letters of a line of a panel's title, and its share of the panel's width where it is chosen."""
SETS = {"test": "Test set", "train": "Train set"}
STABLE_LINE: dict[str, Any] = {"color": "#888888", "linewidth": 0.8, "linestyle": (0, (1, 2))}
SPLIT_LABEL, INSTABILITY_LABEL = "Split k (step)", "Instability (points)"


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """The numbers of the plot `name`; the kind's README lists the fields."""
    if name == "instability":
        return instability_numbers(source)
    return line_numbers(source) if name == "line_error" else layer_numbers(source)


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The figure of the plot `name` from its numbers."""
    with drawing(options):
        if not numbers["points"]:
            return draw_message(options, "No results yet")
        if name == "instability":
            return _draw_instability(numbers, options)
        if name == "line_error":
            return _draw_panels(numbers, options, _draw_lines, "splits", "step")
        return _draw_panels(numbers, options, _draw_layers, "layers", "name")


def _draw_instability(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """A panel for each set, a line for each point, and the bound below which a net is stable."""
    all_points = numbers["points"]
    chosen = choose_lines([-max(one["test"]["mean"]) for one in all_points], options)
    points = [all_points[place] for place in chosen]
    names = name_with_marks(all_points)
    figure = new_figure(options, 8.4, 3.4 + legend_height(len(points)))
    panels = add_panels(figure, len(SETS), sharex=True, sharey=True)
    styles = series_styles([point["values"] for point in points])
    for axes, (of_set, title) in zip(panels, SETS.items(), strict=True):
        for place, point, style in zip(chosen, points, styles, strict=True):
            _plot(axes, point["steps"], point[of_set], names[place], style)
        axes.axhline(100 * numbers["stable_below"], **STABLE_LINE)
        axes.set(title=title, xlabel=SPLIT_LABEL)
        if is_first_column(axes):
            axes.set_ylabel(INSTABILITY_LABEL)
    for axes in panels:
        _scale_steps(axes, points, options)
    handles, labels = panels[0].get_legend_handles_labels()
    shown = [(one, label) for one, label in zip(handles, labels, strict=True) if label != "net"]
    bound = Line2D([], [], **STABLE_LINE)
    shown.append((bound, f"stable below {100 * numbers['stable_below']:g} points"))
    _add_legend(figure, *zip(*shown, strict=True))
    drawn = [point[of_set] for point in points for of_set in SETS]
    _add_title(figure, numbers, points, drawn)
    return figure


def _draw_panels(
    numbers: Mapping[str, Any],
    options: PlotOptions,
    draw_one: Callable[[Axes, Mapping[str, Any], Mapping[Any, Any], PlotOptions], None],
    parts: str,
    key: str,
) -> Figure:
    """A panel for each point. parts, key: what has a line in it, and what names such a line."""
    all_points = numbers["points"]
    most = min(len(all_points), MOST_PANELS)
    across = min(most, 3)
    figure = new_figure(options, 2.2 + 3.6 * across, 0.9 + 3.0 * -(-most // across))
    columns = count_panel_columns(figure, most, 3)
    height = panel_height(figure, columns)
    if figure.is_fitted:
        most = max(1, min(most, columns * int(PAGE_INCHES / (height + LABEL_INCHES))))
    chosen = choose_points([None] * len(all_points), most)
    points = [all_points[place] for place in chosen]
    rows = -(-len(points) // columns)
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.set_panel_height(grid[:, 0], rows * height)
    found = list(dict.fromkeys(one[key] for point in points for one in point[parts]))
    ordered = sorted(found) if key == "step" else found
    styles = dict(zip(ordered, series_styles([{key: one} for one in ordered]), strict=True))
    names = _name_panels(figure, all_points, columns)
    panels = grid.flatten()
    for axes, place, point in zip(panels, chosen, points, strict=False):
        draw_one(axes, point, styles, options)
        axes.set_title(names[place])
    for axes in panels[len(points) :]:
        axes.set_axis_off()
    handles = [Line2D([], [], **style) for style in styles.values()]
    labels = [f"k = {one:,}" if key == "step" else str(one) for one in styles]
    if key == "step":
        for of_set, alpha in (("test error", 1.0), ("train error", TRAIN_ALPHA)):
            handles.append(Line2D([], [], color="#555555", alpha=alpha))
            labels.append(of_set)
    _add_legend(figure, handles, labels)
    drawn = [one["test"] if key == "step" else one for point in points for one in point[parts]]
    _add_title(figure, numbers, points, drawn)
    return figure


TRAIN_ALPHA = 0.4
"""Opacity of train errors beside test errors"""


def _draw_lines(
    axes: Axes, point: Mapping[str, Any], styles: Mapping[Any, Any], options: PlotOptions
) -> None:
    """Test and train error along the line of each split."""
    for split in point["splits"]:
        style = styles[split["step"]]
        _plot(axes, split["share"], split["test"], "", style, markers=False)
        train = [100 * value for value in split["train"]["mean"]]
        axes.plot(split["share"], train, **style, alpha=TRAIN_ALPHA)
    axes.set(xlabel="From child 1 to another", ylabel="Error (%)", xlim=(0, 1))
    set_scales(axes, x=options.xscale or "linear", y=options.yscale or "linear")
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)


def _draw_layers(
    axes: Axes, point: Mapping[str, Any], styles: Mapping[Any, Any], options: PlotOptions
) -> None:
    """The instability of each layer that moves alone, by split."""
    for layer in point["layers"]:
        _plot(axes, point["steps"], layer, "", styles[layer["name"]])
    axes.set(xlabel=SPLIT_LABEL, ylabel=INSTABILITY_LABEL)
    _scale_steps(axes, [point], options)


def _plot(
    axes: Axes,
    x: Sequence[float],
    series: Mapping[str, Any],
    label: str,
    style: Mapping[str, Any],
    markers: bool = True,
) -> None:
    """A line with its band, in percent; markers stand at the measured steps."""
    scaled = {
        name: [None if value is None else 100 * value for value in series[name]]
        for name in ("mean", "standard_error")
    }
    marked = {"marker": style["marker"] or "o", "markevery": 1} if markers else {}
    size = 0.7 * rcParams["lines.markersize"]
    plot_band(axes, x, scaled, label=label, **{**style, **marked, "markersize": size})


def _scale_steps(axes: Axes, points: Sequence[Mapping[str, Any]], options: PlotOptions) -> None:
    """Steps on a logarithmic axis that holds 0, unless the options choose."""
    several = any(len(point["steps"]) > 1 for point in points)
    set_scales(axes, x=options.xscale or ("log" if several else "linear"), y=options.yscale)
    if not several and options.xscale is None:
        steps = [step for point in points for step in point["steps"]]
        axes.set_xlim(min(steps) - 1, max(steps) + 1)
        axes.locator_params(axis="x", integer=True, nbins=3)


def _name_panels(
    figure: PlotFigure, points: Sequence[Mapping[str, Any]], columns: int
) -> list[str]:
    """A title for the panel of each point; none where there is one point."""
    names = name_with_marks(points)
    if len(points) == 1:
        names = [name.removeprefix("net") for name in names]
    if not figure.is_fitted:
        return [wrap(name, NAME_LETTERS) for name in names]
    width = TITLE_SHARE * figure.get_figwidth() / columns
    return [wrap_to(name, width, figure.text_size(8.0)) for name in names]


def _add_legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    draw_legend(figure, handles, labels, fitting_columns(figure.get_figwidth(), labels, 6))


def _add_title(
    figure: Figure,
    numbers: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
    drawn: Sequence[Mapping[str, Any]],
) -> None:
    """drawn: the series of these points, whose `n` counts the seeds of each mean."""
    counts = (count for series in drawn for count in series["n"])
    text = describe_seeds(counts, "band: one standard error") + describe_marks(points)
    add_title(figure, numbers["title"], text + describe_left_out(points, numbers, ""))
