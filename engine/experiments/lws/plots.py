"""The drawings of layer-wise sparse SGD: bars, scatters against time, error curves, Table 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.experiments.lws.numbers import curve_numbers, point_numbers, table_numbers
from engine.experiments.lws.table import draw_table
from engine.kind import PlotInput
from engine.plotting import (
    OKABE_ITO,
    PlotOptions,
    draw_message,
    drawing,
    new_figure,
    plot_band,
    series_colors,
)

FULL_COLOR = "#444444"
POLICY_COLORS = {
    "full": FULL_COLOR,
    "top_k": "#0072B2",
    "bottom_q": "#E69F00",
    "top_k_bottom_q": "#009E73",
    "middle": "#CC79A7",
    "prob_top_k_bottom_q": "#009E73",
    "top_k_all_bottoms": "#0072B2",
    "random_uniform": "#D55E00",
    "random_beta": "#56B4E9",
}
POLICY_WORDS = {
    "full": "Full",
    "top_k": "Top k",
    "bottom_q": "Bottom q",
    "top_k_bottom_q": "Top k Bottom q",
    "middle": "Middle Only",
    "prob_top_k_bottom_q": "Top k Bottom q, probabilistic",
    "top_k_all_bottoms": "Top k All Bottoms",
    "random_uniform": "Random-Uniform",
    "random_beta": "Random-Beta",
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def numbers(name: str, source: PlotInput) -> dict[str, Any]:
    """The numbers of the plot `name`; see this room's README for each one's fields."""
    return {
        "accuracy_bars": point_numbers,
        "backward_bars": point_numbers,
        "error_against_backward_time": point_numbers,
        "error_against_train_time": point_numbers,
        "error_curves": curve_numbers,
        "table": table_numbers,
    }[name](source)


def draw(name: str, numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """The plot `name` of its numbers."""
    with drawing():
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
    points = numbers["points"]
    figure = new_figure(options, max(4.5, 1.4 + 0.62 * len(points)), 4.2)
    axes = figure.subplots()
    means = [scale * point[quantity]["mean"] for point in points]
    errors = [scale * (point[quantity]["standard_error"] or 0.0) for point in points]
    drawn: set[str] = set()
    for place, (point, mean, error) in enumerate(zip(points, means, errors, strict=True)):
        policy = point["kind_of_policy"]
        words = POLICY_WORDS[policy]
        axes.bar(
            place,
            mean,
            0.72,
            yerr=error or None,
            capsize=3,
            color=POLICY_COLORS[policy],
            error_kw={"elinewidth": 1.0, "ecolor": "black"},
            label=None if words in drawn else words,
        )
        drawn.add(words)
        axes.annotate(
            _bar_text(point, quantity, mean),
            (place, mean + error),
            (0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7,
            bbox={"boxstyle": "square,pad=0.08", "facecolor": "white", "edgecolor": "none"},
        )
    for point, mean in zip(points, means, strict=True):
        if point["kind_of_policy"] == "full":
            axes.axhline(mean, color=FULL_COLOR, linestyle="--", linewidth=1.0, zorder=0.9)
    axes.set_xticks(range(len(points)), [_name(point) for point in points], rotation=40, ha="right")
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(points) - 0.4)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel(label)
    axes.set_ylim(0, 108 if quantity == "test_accuracy" else None)
    if quantity != "test_accuracy":
        axes.margins(y=0.08)
    _add_legend(figure, axes)
    _add_titles(figure, axes, numbers)
    return figure


def _bar_text(point: Mapping[str, Any], quantity: str, mean: float) -> str:
    mark = "†" if point["outcome"] == "diverged" else ""
    if quantity == "test_accuracy":
        return f"{mean:.1f}{mark}"
    ratio = point["backward_ratio"]
    return f"{mean:.3g}{mark}" + (f"\n({ratio['mean']:.2f}x)" if ratio else "")


def _draw_scatter(numbers: Mapping[str, Any], options: PlotOptions, seconds: str, label: str) -> Figure:
    points = numbers["points"]
    figure = new_figure(options, 7.2, 4.6)
    axes = figure.subplots()
    families = list(dict.fromkeys(point["family"] for point in points))
    settings = list(dict.fromkeys(point["setting"] for point in points))
    colors = _family_colors(points, families)
    for point in points:
        mean, spread = point[seconds]["mean"], point[seconds]["standard_error"] or 0.0
        error = 100 * (1 - point["test_accuracy"]["mean"])
        reach = 100 * (point["test_accuracy"]["standard_error"] or 0.0)
        color = colors[point["family"]]
        axes.errorbar(
            mean, error, xerr=spread, yerr=reach, fmt="none", ecolor=color, elinewidth=0.8, alpha=0.7
        )
        axes.scatter(
            mean,
            error,
            s=150.0 if point["family"] == "Full" else _marker_area(point["rho"]),
            marker=_marker(point, families),
            facecolor=color if settings.index(point["setting"]) == 0 else "white",
            edgecolor=color,
            linewidth=1.2,
            zorder=3,
            clip_on=False,
        )
    axes.set(xlabel=label, ylabel="Test error (%)")
    axes.set_xscale(options.xscale or "linear")
    axes.set_yscale(options.yscale or "linear")
    if options.xscale != "log":
        axes.set_xlim(left=0)
    if options.yscale != "log":
        axes.set_ylim(bottom=0)
    _scatter_legend(figure, points, families, settings, colors)
    _add_titles(figure, axes, numbers)
    return figure


def _family_colors(points: Sequence[Mapping[str, Any]], families: Sequence[str]) -> dict[str, Any]:
    plain = [family for family in families if family != "Full"]
    colors = OKABE_ITO[:6] if len(plain) <= 6 else series_colors([{"family": family} for family in plain])
    return {"Full": FULL_COLOR, **dict(zip(plain, colors, strict=False))}


def _marker(point: Mapping[str, Any], families: Sequence[str]) -> str:
    return "*" if point["family"] == "Full" else MARKERS[families.index(point["family"]) % (len(MARKERS) - 1)]


def _marker_area(rho: float | None) -> float:
    return 60.0 if rho is None else 20.0 + 260.0 * rho


def _scatter_legend(
    figure: Figure,
    points: Sequence[Mapping[str, Any]],
    families: Sequence[str],
    settings: Sequence[str],
    colors: Mapping[str, Any],
) -> None:
    """Families by colour and marker, then what each marker size and filling means."""
    first = {point["family"]: point for point in reversed(points)}
    handles = [
        _legend_marker(colors[family], _marker(first[family], families), 7.0, family) for family in families
    ]
    if len(settings) > 1:
        handles += [
            _legend_marker("#777777", "o", 7.0, name or "otherwise", filled=index == 0)
            for index, name in enumerate(settings)
        ]
    for rho in sorted({point["rho"] for point in points if point["rho"] is not None}):
        handles.append(_legend_marker("#bbbbbb", "o", _marker_area(rho) ** 0.5, f"rho = {rho:g}"))
    figure.legend(handles=handles, loc="outside right upper")


def _legend_marker(color: Any, marker: str, size: float, label: str, *, filled: bool = True) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        markersize=size,
        markerfacecolor=color if filled else "white",
        markeredgecolor=color,
        label=label,
    )


def _draw_curves(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    points = numbers["points"]
    longest = max(len(_name(point)) for point in points)
    rows = -(-len(points) // _num_columns(8.4, longest))
    figure = new_figure(options, 8.4, 3.6 + 0.18 * rows)
    panels = dict(zip(("train_error", "test_error"), figure.subplots(1, 2), strict=True))
    colors = series_colors([point["values"] for point in points])
    for point, color in zip(points, colors, strict=True):
        shown = FULL_COLOR if point["family"] == "Full" and not point["setting"] else color
        for quantity, axes in panels.items():
            plot_band(
                axes,
                point["backward_seconds"],
                _percent(point[quantity]),
                color=shown,
                label=_name(point),
                marker="o" if len(point["epoch"]) < 3 else None,
            )
    for quantity, axes in panels.items():
        _dress_curves(axes, options, quantity.replace("_", " ").capitalize())
    _add_legend(figure, panels["test_error"])
    figure.suptitle(f"{numbers['title']} ({_describe_seeds(points)})", fontsize=10)
    return figure


def _dress_curves(axes: Axes, options: PlotOptions, title: str) -> None:
    axes.set(xlabel="Back-propagation time so far (s)", ylabel=f"{title} (%)", title=title)
    axes.set_xscale(options.xscale or "linear")
    axes.set_yscale(options.yscale or "linear")
    if options.xscale != "log":
        axes.set_xlim(left=0)
    if options.yscale != "log":
        axes.set_ylim(bottom=0)


def _percent(series: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [None if value is None else 100 * value for value in values] for name, values in series.items()
    }


def _add_titles(figure: Figure, axes: Axes, numbers: Mapping[str, Any]) -> None:
    figure.suptitle(numbers["title"], fontsize=10)
    axes.set_title(_describe_seeds(numbers["points"]), fontsize=7.5, color="#666666")


def _describe_seeds(points: Sequence[Mapping[str, Any]]) -> str:
    """What the means and error bars are over, and what the dagger says."""
    counts = sorted({point["n"] for point in points})
    text = f"mean of {'–'.join(map(str, (counts[0], counts[-1])[: len(counts)]))} seeds, one standard error"
    if counts == [1]:
        text = "one seed"
    return text + ("; † diverged" if any(point.get("outcome") == "diverged" for point in points) else "")


def _add_legend(figure: Figure, axes: Axes) -> None:
    """Below the axes, in as many columns as the figure is wide enough for."""
    handles, labels = axes.get_legend_handles_labels()
    columns = min(len(labels), _num_columns(figure.get_figwidth(), max(map(len, labels))))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def _num_columns(width: float, longest: int) -> int:
    """How many legend columns of labels of up to `longest` letters fit into `width` inches."""
    return max(1, int(width / (0.55 + 0.068 * longest)))
