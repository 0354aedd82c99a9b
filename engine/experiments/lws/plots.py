"""The plots of layer-wise sparse SGD: bars, scatters against time, error curves, Table 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from engine.drawing.bars import choose_bars, draw_rows
from engine.drawing.figure import PlotFigure
from engine.drawing.measure import POINTS, text_inches
from engine.drawing.notes import describe_marks, describe_seeds, mark_of
from engine.drawing.panels import add_panels, choose_lines
from engine.drawing.text import wrap
from engine.experiments.lws.numbers import curve_numbers, point_numbers, table_numbers
from engine.experiments.lws.styles import (
    FILLS,
    FULL_COLOR,
    POLICY_COLORS,
    POLICY_NAMES,
    curve_styles,
    family_styles,
    fill_style,
)
from engine.experiments.lws.table import draw_table
from engine.kind import PlotInput
from engine.labels import format_number
from engine.plotting import (
    LEGEND_ROW_INCHES,
    MAX_LEGEND,
    PlotOptions,
    add_title,
    count_columns,
    describe_left_out,
    draw_legend,
    draw_message,
    drawing,
    fitting_columns,
    legend_inches,
    new_figure,
    plot_band,
    set_scales,
)

NAME_LETTERS = 48
"""Letters of a line of a point's name under its bar and in a legend beside the axes."""
USUAL_LETTERS, LONG_NAME_INCHES = 42, 1.2
"""Longer names under bars make the figure this much taller."""
BESIDE_INCHES, BESIDE_SHARE = 5.5, 0.4
"""Least width of a figure that has its legend beside the axes rather than below, and its share."""
LEGEND_LINE = 1.45
"""Height of a legend's line over its text size."""
BESIDE_POINTS, DAGGER_POINTS = 5.5, 8.5
"""Height of a digit beside a marker of a scatter, and of a † alone."""
FITTED_AREA = 0.4
"""Of markers in a figure of a chosen width over the usual ones."""
SCATTER_ASPECT, MOST_SCATTER_INCHES = 0.75, 3.2
"""Height of the axes of a scatter over the figure's width, and the most."""


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """The numbers of the plot `name`; the kind's README lists the fields."""
    return {
        "accuracy_bars": point_numbers,
        "backward_bars": point_numbers,
        "error_against_backward_time": point_numbers,
        "error_against_train_time": point_numbers,
        "error_curves": curve_numbers,
        "table": table_numbers,
    }[name](source)


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The figure of the plot `name` from its numbers."""
    with drawing(options):
        if not numbers["points"]:
            return draw_message(options, "No results yet")
        if name == "accuracy_bars":
            return _draw_bars(numbers, options, "test_accuracy", 100, "Test accuracy (%)")
        if name == "backward_bars":
            return _draw_bars(numbers, options, "backward_seconds", 1, "Back-propagation time (s)")
        if name == "error_against_backward_time":
            return _draw_scatter(numbers, options, "backward_seconds", "Back-propagation time (s)")
        if name == "error_against_train_time":
            return _draw_scatter(numbers, options, "train_seconds", "Full training time (s)")
        return (_draw_curves if name == "error_curves" else draw_table)(numbers, options)


def _name(point: Mapping[str, Any]) -> str:
    return ", ".join(part for part in (point["policy"], point["setting"]) if part)


def _draw_bars(
    numbers: Mapping[str, Any], options: PlotOptions, quantity: str, scale: float, label: str
) -> Figure:
    """Bars in the colours of their policies; in a figure of a chosen width, rows."""
    all_points = numbers["points"]
    scores = [point["test_accuracy"]["mean"] for point in all_points]
    chosen = choose_bars(scores, options, [_name(point) for point in all_points])
    points = [all_points[place] for place in chosen]
    is_long = max(len(_name(point)) for point in points) > USUAL_LETTERS
    height = 4.2 + (LONG_NAME_INCHES if is_long else 0.0)
    figure = new_figure(options, max(4.5, 1.4 + 0.62 * len(points)), height)
    axes = figure.subplots()
    means = [scale * point[quantity]["mean"] for point in points]
    errors = [scale * (point[quantity]["standard_error"] or 0.0) for point in points]
    draw_bars = _draw_rows if figure.is_fitted else _draw_columns
    draw_bars(figure, axes, points, means, errors, quantity)
    margin = 1.03 if figure.is_fitted else 1.16
    limit = margin * max(map(sum, zip(means, errors, strict=True))) or 1.0
    if quantity == "test_accuracy":
        limit = 100 if figure.is_fitted else 108
    if figure.is_fitted:
        axes.set(xlim=(0, limit), xlabel=label)
    else:
        axes.set(ylim=(0, limit), ylabel=label)
        _add_legend(figure, axes)
    _add_titles(figure, axes, numbers, points)
    return figure


def _draw_rows(
    figure: PlotFigure,
    axes: Axes,
    points: Sequence[Mapping[str, Any]],
    means: Sequence[float],
    errors: Sequence[float],
    quantity: str,
) -> None:
    """The names beside the rows say the policy, so that there is no legend."""
    axes.barh(
        range(len(points)),
        means,
        0.7,
        xerr=[error or nan for error in errors],
        capsize=figure.scaled(1.5),
        color=[POLICY_COLORS[point["kind_of_policy"]] for point in points],
        error_kw={"elinewidth": figure.scaled(0.8), "ecolor": "black"},
    )
    for point, mean in zip(points, means, strict=True):
        if point["kind_of_policy"] == "full":
            axes.axvline(
                mean, color=FULL_COLOR, linestyle="--", linewidth=figure.scaled(0.8), zorder=0.9
            )
    values = [
        _bar_text(point, quantity, mean).replace("\n", " ")
        for point, mean in zip(points, means, strict=True)
    ]
    draw_rows(figure, axes, [_name(point) for point in points], values)


def _draw_columns(
    figure: PlotFigure,
    axes: Axes,
    points: Sequence[Mapping[str, Any]],
    means: Sequence[float],
    errors: Sequence[float],
    quantity: str,
) -> None:
    names = [wrap(_name(point), NAME_LETTERS) for point in points]
    drawn: set[str] = set()
    for place, (point, mean, error) in enumerate(zip(points, means, errors, strict=True)):
        policy = point["kind_of_policy"]
        name = POLICY_NAMES[policy]
        axes.bar(
            place,
            mean,
            0.72,
            yerr=error or None,
            capsize=3,
            color=POLICY_COLORS[policy],
            error_kw={"elinewidth": 1.0, "ecolor": "black"},
            label=None if name in drawn else name,
        )
        drawn.add(name)
        axes.annotate(
            _bar_text(point, quantity, mean),
            (place, mean + error),
            (0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7,
            bbox={"boxstyle": "square,pad=0.4", "facecolor": "white", "edgecolor": "none"},
        )
    for point, mean in zip(points, means, strict=True):
        if point["kind_of_policy"] == "full":
            axes.axhline(mean, color=FULL_COLOR, linestyle="--", linewidth=1.0, zorder=0.9)
    axes.set_xticks(range(len(points)), names, rotation=40, ha="right")
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(points) - 0.4)
    axes.grid(axis="x", visible=False)


def _bar_text(point: Mapping[str, Any], quantity: str, mean: float) -> str:
    mark = mark_of(point)
    if quantity == "test_accuracy":
        return f"{mean:.1f}{mark}"
    ratio = point["backward_ratio"]
    seconds = f"{mean:,.0f}" if mean >= 100 else f"{mean:.3g}"
    return seconds + mark + (f"\n({_format_ratio(ratio['mean'])}x)" if ratio else "")


def _format_ratio(ratio: float) -> str:
    """Two decimals; of a ratio below 0.1 one digit, so that it is not shown as 0.00."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.1g}"


def _draw_scatter(
    numbers: Mapping[str, Any], options: PlotOptions, seconds: str, label: str
) -> Figure:
    """Markers by policy, rho and setting; † beside those that did not train."""
    points = numbers["points"]
    settings = list(dict.fromkeys(point["setting"] for point in points))
    fills = _choose_fills(settings)
    styles = family_styles(points)
    rhos = {point["rho"] for point in points} - {None}
    num_settings = len(settings) if len(settings) > 1 else 0
    entries = min(MAX_LEGEND, num_settings + len(styles) + len(rhos))
    figure = new_figure(options, 8.4, max(4.8, 0.3 + LEGEND_ROW_INCHES * entries))
    axes = figure.subplots()
    figure.set_panel_height([axes], min(MOST_SCATTER_INCHES, SCATTER_ASPECT * figure.space))
    for point in points:
        mean, spread = point[seconds]["mean"], point[seconds]["standard_error"] or 0.0
        error = 100 * (1 - point["test_accuracy"]["mean"])
        reach = 100 * (point["test_accuracy"]["standard_error"] or 0.0)
        color, marker = styles[point["family"]]
        axes.errorbar(
            mean,
            error,
            xerr=spread,
            yerr=reach,
            fmt="none",
            ecolor=color,
            elinewidth=figure.scaled(0.8),
            alpha=0.7,
        )
        size = _marker_area(figure, point) ** 0.5
        axes.plot(
            mean,
            error,
            marker=marker,
            markersize=size,
            markeredgewidth=figure.scaled(1.2 if options.width is None else 0.8),
            zorder=3,
            clip_on=False,
            **fill_style(color, fills.get(point["setting"], "full")),
        )
        number = "" if fills else str(settings.index(point["setting"]) + 1)
        _draw_beside(figure, axes, (mean, error), size, number + mark_of(point))
    axes.set(xlabel=label, ylabel="Test error (%)")
    set_scales(axes, x=options.xscale or "linear", y=options.yscale or "linear")
    if options.xscale != "log":
        axes.set_xlim(left=0)
    if options.yscale != "log":
        axes.set_ylim(bottom=0)
    _scatter_legend(figure, points, styles, settings, fills)
    _add_titles(figure, axes, numbers, points)
    return figure


def _draw_beside(
    figure: PlotFigure, axes: Axes, place: tuple[float, float], size: float, text: str
) -> None:
    """The text as a small marker at the upper right of a marker of `size` points."""
    if not text:
        return
    away = (0.5 * size + figure.scaled(3.0)) / POINTS
    height = DAGGER_POINTS if text == "†" else BESIDE_POINTS * max(1.0, 0.7 * len(text))
    shift = ScaledTranslation(away, 0.7 * away, figure.dpi_scale_trans)
    axes.plot(
        *([value] for value in place),
        marker=f"${text}$",
        markersize=figure.scaled(height),
        markeredgewidth=0.0,
        color="black",
        transform=axes.transData + shift,
        clip_on=False,
        zorder=4,
    )


def _choose_fills(settings: Sequence[str]) -> dict[str, str]:
    """A filling for each setting; none where there are too many, which numbers tell apart."""
    if len(settings) > len(FILLS):
        return {}
    return dict(zip(settings, FILLS, strict=False))


def _marker_area(figure: PlotFigure, point: Mapping[str, Any]) -> float:
    """In square points: by rho, and large for full training."""
    area = 150.0 if point.get("family") == "Full" else _area_of_rho(point["rho"])
    return figure.scaled(1.0) ** 2 * area * (FITTED_AREA if figure.is_fitted else 1.0)


def _area_of_rho(rho: float | None) -> float:
    return 60.0 if rho is None else 20.0 + 260.0 * rho


def _scatter_legend(
    figure: PlotFigure,
    points: Sequence[Mapping[str, Any]],
    styles: Mapping[str, tuple[str, str]],
    settings: Sequence[str],
    fills: Mapping[str, str],
) -> None:
    """Families by colour and marker, then settings by filling or number, and rho by size."""
    size = figure.scaled(4.5 if figure.is_fitted else 7.0)
    handles = [
        _legend_marker(color, marker, size, family) for family, (color, marker) in styles.items()
    ]
    if len(settings) > 1:
        for number, name in enumerate(settings, start=1):
            if fills:
                handles.append(
                    _legend_marker("#777777", "o", size, name or "otherwise", fills[name])
                )
            else:
                handles.append(_legend_marker("#777777", "", size, f"{number}: {name}"))
    for rho in sorted({point["rho"] for point in points} - {None}):
        area = _marker_area(figure, {"rho": rho})
        handles.append(_legend_marker("#bbbbbb", "o", area**0.5, f"rho = {format_number(rho)}"))
    labels = [str(handle.get_label()) for handle in handles]
    if not figure.is_fitted:
        labels = [wrap(label, NAME_LETTERS) for label in labels]
    width = figure.get_figwidth()
    if figure.space < BESIDE_INCHES or (figure.is_fitted and not _fits_beside(figure, labels)):
        draw_legend(figure, handles, labels, fitting_columns(width, labels))
    else:
        draw_legend(figure, handles, labels, 1, "outside right upper")


def _fits_beside(figure: PlotFigure, labels: Sequence[str]) -> bool:
    """Whether the legend leaves most of the width to the axes, and is not higher than they are."""
    size = figure.text_size(7.0)
    width = max(text_inches(label, size) for label in labels) + legend_inches(1, size)
    height = len(labels) * LEGEND_LINE * size / POINTS
    return width <= BESIDE_SHARE * figure.get_figwidth() and height <= figure.stack_inches


def _legend_marker(color: Any, marker: str, size: float, label: str, fill: str = "full") -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        markersize=size,
        label=label,
        **fill_style(color, fill),
    )


def _draw_curves(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    all_points = numbers["points"]
    last = [(point["test_error"]["mean"] or [None])[-1] for point in all_points]
    points = [all_points[place] for place in choose_lines(last, options)]
    rows = -(-len(points) // count_columns(8.4, [_name(point) for point in points]))
    figure = new_figure(options, 8.4, 3.6 + 0.18 * rows)
    panels = dict(zip(("train_error", "test_error"), add_panels(figure, 2), strict=True))
    for point, style in zip(points, curve_styles(points), strict=True):
        if len(point["epoch"]) < 3:
            style = style | {"marker": style["marker"] or "o"}
        for quantity, axes in panels.items():
            plot_band(
                axes,
                point["backward_seconds"],
                _percent(point[quantity]),
                label=_name(point) + mark_of(point, " †"),
                **style,
            )
    for quantity, axes in panels.items():
        _format_curve_axes(axes, options, quantity.replace("_", " ").capitalize())
    _add_legend(figure, panels["test_error"])
    counts = [count for point in points for quantity in panels for count in point[quantity]["n"]]
    seeds = describe_seeds(counts, "band: one standard error") + describe_marks(points)
    note = seeds + describe_left_out(points, numbers)
    add_title(figure, numbers["title"], note)
    return figure


def _format_curve_axes(axes: Axes, options: PlotOptions, title: str) -> None:
    axes.set(xlabel="Back-propagation time so far (s)", ylabel=f"{title} (%)")
    if options.width is None:
        axes.set_title(title)
    set_scales(axes, x=options.xscale or "linear", y=options.yscale or "linear")
    if options.xscale != "log":
        axes.set_xlim(left=0)
    if options.yscale != "log":
        axes.set_ylim(bottom=0)


def _percent(series: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [None if value is None else 100 * value for value in series[name]]
        for name in ("mean", "standard_error")
    }


def _add_titles(
    figure: PlotFigure,
    axes: Axes,
    numbers: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
) -> None:
    """Titles on the left, clear of the legend. points: that are drawn."""
    seeds = describe_seeds((point["n"] for point in points), "one standard error")
    note = seeds + describe_marks(points) + describe_left_out(points, numbers)
    if figure.is_fitted:
        add_title(figure, numbers["title"], note)
        return
    add_title(figure, numbers["title"], x=0.02, ha="left")
    axes.set_title(note, fontsize=7.5, color="#666666", loc="left")


def _add_legend(figure: Figure, axes: Axes) -> None:
    """A legend below the axes, in as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    draw_legend(figure, handles, labels, count_columns(figure.get_figwidth(), labels))
