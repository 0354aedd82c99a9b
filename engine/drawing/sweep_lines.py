"""A quantity against a swept number: a line for each value of the other fields, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import isfinite, log10, nan
from operator import add, mul
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from engine.drawing.colors import OKABE_ITO, series_markers, series_styles
from engine.drawing.figure import PlotFigure
from engine.drawing.measure import POINTS, text_inches, wrap_to
from engine.drawing.sweep_text import (
    UNTRAINED,
    describe_intervals,
    describe_missing,
    describe_untrained,
    is_trained,
    limit_interval,
    name_field,
    name_quantity,
    scaled,
)
from engine.labels import format_number
from engine.plotting import PlotOptions, Scale, add_legend, add_title, new_figure, set_scales
from engine.point_choice import choose_few
from engine.statistic_text import scale_of

MOST_COLORED = 8
"""Lines in colour; points of the others are grey."""
GREY = "#a6a6a6"
LOG_RATIO = 30.0
"""A field whose largest value is so many times the smallest has a logarithmic axis."""
MANY_ON_A_LINE = 25
"""Points of a line, beyond which intervals are a band."""
LABEL_SHARE, LINE_SPACING = 0.3, 1.3
"""Of the figure's width, at most for the names of lines beside them; of a line of text."""
PANEL_ASPECT, LEAST_PANEL_INCHES, MOST_PANEL_INCHES = 0.6, 1.8, 3.0
"""Height of the axes over the figure's width where it is chosen, and its limits."""
USUAL_PANEL_INCHES = 3.2
"""Height of the axes in a figure of the default size."""
MOST_TICKS, MOST_Y_TICKS = 10, 7
SHIFT_POINTS, SHIFT_SHARE = 2.5, 0.5
"""Lines stand so far apart sideways, and all of them within this share of a step."""

Point = Mapping[str, Any]


def draw_lines(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """At most MOST_COLORED lines with names at their ends; other points are grey markers."""
    figure = new_figure(options, 8.0, 4.6)
    axes = figure.subplots()
    panel = min(MOST_PANEL_INCHES, max(LEAST_PANEL_INCHES, PANEL_ASPECT * figure.space))
    figure.set_panel_height([axes], panel)
    lines = _group(numbers)
    colored, reason = _choose(numbers, lines)
    _draw_grey(figure, axes, numbers, [one for name, one in lines.items() if name not in colored])
    styles = _list_styles(numbers, lines, colored)
    has_bands = max(map(len, lines.values())) > MANY_ON_A_LINE
    scales = _choose_scales(numbers, options)
    shifts = _list_shifts(figure, _list_places(numbers), scales[0], len(colored), has_bands)
    for name, style, shift in zip(colored, styles, shifts, strict=True):
        _draw_line(figure, axes, numbers, lines[name], name, style, has_bands, shift)
    ends, cut = limit_interval(numbers, [point for name in colored for point in lines[name]])
    axes.set_ylim(ends)
    height = options.height or (figure.scaled(panel) if figure.is_fitted else USUAL_PANEL_INCHES)
    axes.set_ylabel(wrap_to(name_quantity(numbers), height, figure.text_size(8.0)))
    axes.set_xlabel(name_field(numbers, numbers["x"]))
    _scale(figure, axes, numbers, scales, options.height)
    if len(colored) > 1 and not _name_lines(figure, axes, numbers, lines, colored, styles, height):
        add_legend(figure, axes)
    cut = cut and scales[1] != "log"
    add_title(figure, numbers["title"], _note(numbers, lines, colored, reason, cut))
    return figure


def _group(numbers: Mapping[str, Any]) -> dict[str, list[Point]]:
    """The points of each line, by their place along the axis."""
    found: dict[str, list[Point]] = {}
    for point in numbers["points"]:
        found.setdefault(point["line"], []).append(point)
    return {name: sorted(one, key=lambda point: _x(numbers, point)) for name, one in found.items()}


def _x(numbers: Mapping[str, Any], point: Point) -> float:
    return float(point["values"][numbers["x"]])


def _choose(
    numbers: Mapping[str, Any], lines: Mapping[str, Sequence[Point]]
) -> tuple[list[str], str]:
    """The names of the lines in colour, by the best point of each, and how they were chosen."""
    names = list(lines)
    if len(names) <= MOST_COLORED:
        return names, ""
    better = numbers["quantity"]["better"]
    extreme = min if better == "lower" else max
    scores = [extreme(point["mean"] for point in lines[name]) for name in names]
    chosen = choose_few(scores, better, most=MOST_COLORED)
    return [names[place] for place in chosen.places], chosen.reason


def _list_styles(
    numbers: Mapping[str, Any], lines: Mapping[str, Sequence[Point]], colored: Sequence[str]
) -> list[dict[str, Any]]:
    if len(lines) == 1:
        return [{"color": OKABE_ITO[0], "marker": "o", "linestyle": "-"}]
    paths = numbers["lines_by"]
    values = [{path: lines[name][0]["values"].get(path) for path in paths} for name in colored]
    styles = series_styles(values)
    return [
        style | {"marker": marker}
        for style, marker in zip(styles, series_markers(len(styles)), strict=True)
    ]


def _draw_grey(
    figure: PlotFigure, axes: Axes, numbers: Mapping[str, Any], lines: Sequence[Sequence[Point]]
) -> None:
    points = [point for line in lines for point in line]
    for trained, filling in ((True, GREY), (False, UNTRAINED)):
        found = [point for point in points if is_trained(point) == trained]
        if not found:
            continue
        axes.plot(
            [_x(numbers, point) for point in found],
            [scaled(numbers, point["mean"]) for point in found],
            color=GREY,
            markerfacecolor=filling,
            linestyle="none",
            marker="o",
            markersize=figure.scaled(2.0),
            zorder=1.5,
        )


def _draw_line(
    figure: PlotFigure,
    axes: Axes,
    numbers: Mapping[str, Any],
    points: Sequence[Point],
    name: str,
    style: Mapping[str, Any],
    has_band: bool,
    shift: Callable[[float], float],
) -> None:
    """shift: to the side, so that the intervals of several lines stand apart."""
    places = [shift(_x(numbers, point)) for point in points]
    means = [scaled(numbers, point["mean"]) for point in points]
    ends = [[scaled(numbers, end) for end in point["ci95"] or (None, None)] for point in points]
    size = figure.scaled(2.0 if has_band else 3.5)
    axes.plot(places, means, label=name or None, markersize=size, **style)
    low, high = zip(*ends, strict=True)
    if has_band:
        axes.fill_between(places, low, high, color=style["color"], alpha=0.2, linewidth=0)
    else:
        below = [mean - end for mean, end in zip(means, low, strict=True)]
        above = [end - mean for mean, end in zip(means, high, strict=True)]
        axes.errorbar(
            places,
            means,
            yerr=[below, above],
            fmt="none",
            ecolor=style["color"],
            elinewidth=figure.scaled(0.8),
            capsize=figure.scaled(1.5),
            alpha=0.7,
        )
    untrained = [place for place, point in enumerate(points) if not is_trained(point)]
    if untrained:
        axes.plot(
            [places[place] for place in untrained],
            [means[place] for place in untrained],
            color=style["color"],
            marker=style["marker"],
            markersize=size,
            markerfacecolor=UNTRAINED,
            linestyle="none",
            zorder=2.5,
        )


def _list_places(numbers: Mapping[str, Any]) -> list[float]:
    """The swept numbers, ascending."""
    return sorted({_x(numbers, point) for point in numbers["points"]})


def _choose_scales(numbers: Mapping[str, Any], options: PlotOptions) -> tuple[Scale, Scale]:
    """(of x, of y): logarithmic where the numbers are positive and far apart.

    A share in percent stays linear, but for one that can be more than the whole.
    """
    places = _list_places(numbers)
    means = [point["mean"] for point in numbers["points"]]
    is_share = scale_of(numbers["quantity"]["unit"]) != 1.0 and max(means) <= 1.0
    return (
        options.xscale or ("log" if _are_far_apart(places) else "linear"),
        options.yscale or ("log" if not is_share and _are_far_apart(means) else "linear"),
    )


def _are_far_apart(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) >= LOG_RATIO * min(values)


def _list_shifts(
    figure: PlotFigure, places: Sequence[float], scale: Scale, num_lines: int, has_bands: bool
) -> list[Callable[[float], float]]:
    """For each line, what moves its points to the side.

    Neighbouring lines stand SHIFT_POINTS apart, and all of them within SHIFT_SHARE of a step.
    """
    steps = _list_steps(figure, places, scale)
    if has_bands or num_lines < 2 or not steps:
        return [float] * num_lines
    apart = min(figure.scaled(SHIFT_POINTS) / POINTS, SHIFT_SHARE * min(steps) / (num_lines - 1))
    low, high = (_on_axis(place, scale) for place in (places[0], places[-1]))
    by_inch = (high - low) / sum(steps)
    amounts = [by_inch * apart * (place - (num_lines - 1) / 2) for place in range(num_lines)]
    if scale == "log":
        return [partial(mul, 10.0**amount) for amount in amounts]
    return [partial(add, amount) for amount in amounts]


def _list_steps(figure: PlotFigure, places: Sequence[float], scale: str) -> list[float] | None:
    """Roughly the inches between neighbouring places; None where they are not known."""
    if scale not in ("linear", "log") or (scale == "log" and places[0] <= 0):
        return None
    width = (1.0 - LABEL_SHARE) * figure.get_figwidth() - figure.scaled(0.5)
    shown = [_on_axis(place, scale) for place in places]
    whole = (shown[-1] - shown[0]) or 1.0
    return [(after - before) * width / whole for before, after in pairwise(shown)]


def _on_axis(place: float, scale: str) -> float:
    return log10(place) if scale == "log" else place


def _scale(
    figure: PlotFigure,
    axes: Axes,
    numbers: Mapping[str, Any],
    scales: tuple[Scale, Scale],
    height: float | None,
) -> None:
    set_scales(axes, x=scales[0])
    if scales[1] == "log":
        axes.autoscale(axis="y")
        set_scales(axes, y="log")
    else:
        _fix_y_ticks(axes, height)
    _set_ticks(figure, axes, _list_places(numbers))


def _fix_y_ticks(axes: Axes, height: float | None) -> None:
    """Ticks that do not follow the layout, which is made once, for the width of their numbers."""
    count = MOST_Y_TICKS if height is None else max(2, min(MOST_Y_TICKS, int(height / 0.5)))
    low, high = axes.get_ylim()
    ticks = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    axes.set_yticks([tick for tick in ticks if low <= tick <= high])


def _set_ticks(figure: PlotFigure, axes: Axes, places: Sequence[float]) -> None:
    """Ticks at the swept values where all of their texts fit."""
    steps = _list_steps(figure, places, axes.get_xscale())
    if len(places) > MOST_TICKS or steps is None:
        return
    size = figure.text_size(9.0) if not figure.is_fitted else figure.text_size(7.0)
    texts = [format_number(place) for place in places]
    needs = [
        (text_inches(one, size) + text_inches(other, size)) / 2 + size / POINTS
        for one, other in pairwise(texts)
    ]
    if all(step > need for step, need in zip(steps, needs, strict=True)):
        axes.xaxis.set_major_locator(FixedLocator(places))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(places, texts)


def _name_lines(
    figure: PlotFigure,
    axes: Axes,
    numbers: Mapping[str, Any],
    lines: Mapping[str, Sequence[Point]],
    names: Sequence[str],
    styles: Sequence[Mapping[str, Any]],
    height: float,
) -> bool:
    """Write each name beside the end of its line, apart; False where they do not fit."""
    size = figure.text_size(8.0)
    width = LABEL_SHARE * figure.get_figwidth()
    texts = [wrap_to(name, width, size) for name in names]
    line = LINE_SPACING * size / POINTS / height
    heights = [line * (text.count("\n") + 1) for text in texts]
    cut = any(_is_cut(text, name) for text, name in zip(texts, names, strict=True))
    if sum(heights) > 1.0 or cut:
        return False
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = []
    for name in names:
        last = lines[name][-1]
        end = to_axes.transform((_x(numbers, last), scaled(numbers, last["mean"])))[1]
        wanted.append(float(end) if isfinite(end) else 0.5)
    for text, place, style in zip(texts, spread_apart(wanted, heights), styles, strict=True):
        axes.annotate(
            text,
            (1.0, place),
            (figure.scaled(4.0), 0),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=size,
            color=style["color"],
            annotation_clip=False,
        )
    return True


def _is_cut(text: str, name: str) -> bool:
    """Whether a word had to be broken."""
    return text.split() != name.split()


def spread_apart(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Middles of boxes in [0, 1] near the wanted ones, in their order, that do not overlap.

    heights: whose sum is at most 1.
    """
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    found, bottom = [nan] * len(wanted), 0.0
    for place in order:
        found[place] = max(wanted[place], bottom + heights[place] / 2)
        bottom = found[place] + heights[place] / 2
    top = 1.0
    for place in reversed(order):
        found[place] = min(found[place], top - heights[place] / 2)
        top = found[place] - heights[place] / 2
    return found


def _note(
    numbers: Mapping[str, Any],
    lines: Mapping[str, Sequence[Point]],
    colored: Sequence[str],
    reason: str,
    cut: bool,
) -> str:
    points = numbers["points"]
    text = describe_intervals(points, "bar: 95 % interval")
    if max(map(len, lines.values())) > MANY_ON_A_LINE:
        text = describe_intervals(points, "band: 95 % interval")
    if cut:
        text += "; longer bars are cut off"
    if len(colored) < len(lines):
        text += f"; {len(colored)} of {len(lines)} lines in colour: {reason}; grey: the others"
    return text + describe_untrained(points, "white marker") + describe_missing(numbers)
