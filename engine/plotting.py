"""Shared by all plots: style, figures, legends, titles, scales, byte-stable files.

Imports matplotlib, never pyplot or torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from io import BytesIO
from itertools import pairwise
from math import ceil, floor, isfinite, log10, nan
from threading import RLock
from typing import Any, Literal

os.environ.update(MPLBACKEND="agg")  # a notebook's value would make the import fail

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import AutoLocator, MaxNLocator

from engine.drawing.colors import OKABE_ITO as OKABE_ITO
from engine.drawing.colors import series_colors as series_colors
from engine.drawing.figure import MAX_INCHES, PlotFigure
from engine.drawing.figure import PlotOptions as PlotOptions
from engine.drawing.figure import Scale as Scale
from engine.drawing.measure import POINTS, text_inches, wrap_to
from engine.drawing.text import FONT, wrap

ImageFormat = Literal["png", "svg", "pdf"]

LEGEND_COLUMNS = 4
LEGEND_ROW_INCHES = 0.17
COLUMN_INCHES = 0.55
"""Width of a legend's column without its letters."""
LETTER_INCHES = 0.068
NARROW_COLUMN_INCHES, NARROW_LETTER_INCHES = 0.45, 0.058
"""The same without a reserve."""
LEGEND_LETTERS = 60
"""A longer label in a legend is broken into lines."""
MAX_LEGEND = 100
"""Entries of a legend; the last one counts those that are left out."""
MAX_FITTED_LEGEND, FITTED_COLUMNS = 24, 6
"""Entries and columns of a legend in a figure of a chosen width."""
MOST_LINES, MOST_FITTED_LINES = 30, 12
"""Points of one pair of axes that has a line for each, and of a figure of a chosen width."""
MARKERS_A_LINE = 8
MOST_TICKS, FEWER_TICKS, TICK_GAP = 9, (6, 5, 4, 3, 2), 0.4
"""Intervals of an axis that are tried in turn, and the least gap between numbers in text sizes."""

POSITION_DIGITS = 6
"""Decimals of a position in a figure: thousandths of a pixel."""
BELOW = "outside lower center"
_TINY = 1e-300
LINEAR_PART = "#f2f2f2"
"""Colour of the linear part of a logarithmic axis, which holds 0."""
SUBSTITUTES = rb"\1, Verdana"
"""Fonts of nearly the same widths, for the text of SVG files where FONT is not installed."""

STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": [FONT],
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.5,
    "lines.scale_dashes": True,
    "figure.facecolor": "white",
    "svg.hashsalt": "richregime",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}

FITTED_STYLE: dict[str, float] = {
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "lines.markeredgewidth": 0.8,
    "patch.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "axes.linewidth": 0.6,
    "axes.labelpad": 2.5,
    "axes.titlepad": 4.0,
    "grid.linewidth": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.pad": 2.5,
    "ytick.major.pad": 2.5,
}
"""Points in a figure of a chosen width, before its enlargement."""
FITTED_LEGEND: dict[str, float] = {
    "legend.borderpad": 0.2,
    "legend.borderaxespad": 0.2,
    "legend.labelspacing": 0.3,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.2,
}
"""In units of the legend's text size."""

_DEFAULTS = {
    name: value
    for name, value in matplotlib.rcParamsDefault.items()
    if name not in ("backend", "backend_fallback")
}
"""matplotlib's own settings, without those of a user's file or style."""

_LOCK = RLock()
"""matplotlib's settings and font cache are per process, so only one thread draws at a time."""
_active: list[dict[str, Any]] = []
"""The styles of the contexts that are open; guarded by _LOCK."""


def drawing(options: PlotOptions | None = None) -> AbstractContextManager[Any]:
    """Context for drawing and saving: one thread at a time, with the style of the options.

    Without options, the style of the context around it, or STYLE.
    """
    return _Drawing(options)


class _Drawing(AbstractContextManager[None]):
    def __init__(self, options: PlotOptions | None) -> None:
        self._options = options

    def __enter__(self) -> None:
        _LOCK.acquire()
        if self._options is None:
            _active.append(_active[-1] if _active else STYLE)
        else:
            _active.append(_choose_style(self._options))
        self._style = matplotlib.rc_context(_DEFAULTS | _active[-1])  # type: ignore[arg-type]
        self._style.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self._style.__exit__(*exception)
        _active.pop()
        _LOCK.release()


def _choose_style(options: PlotOptions) -> dict[str, Any]:
    if options.width is None:
        return STYLE
    sizes = {name: options.enlargement * size for name, size in FITTED_STYLE.items()}
    return STYLE | sizes | FITTED_LEGEND | {"text.hinting": "none"}


def new_figure(options: PlotOptions, width: float, height: float) -> PlotFigure:
    """An empty figure of the options' size, else of the given size; axes do not overlap."""
    figure = PlotFigure(
        options,
        figsize=(
            options.width_inches or min(width, MAX_INCHES),
            options.height or min(height * options.enlargement, MAX_INCHES),
        ),
        dpi=options.dpi,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, image_format: ImageFormat, options: PlotOptions) -> bytes:
    """The figure as a file; equal figures give equal bytes. Text stays text in SVG and PDF."""
    stream = BytesIO()
    by_format: dict[str, dict[str, Any]] = {
        "png": {"Software": "richregime"},
        "svg": {"Date": None, "Creator": "richregime"},
        "pdf": {
            "CreationDate": None,
            "ModDate": None,
            "Creator": "richregime",
            "Producer": "richregime",
        },
    }
    with drawing(options):
        lay_out(figure)
        if image_format == "png" and figure.dpi == options.dpi:
            # `savefig` draws everything twice, once without pixels.
            canvas: Any = FigureCanvasAgg(figure)
            canvas.print_png(stream, metadata=by_format["png"])
        else:
            figure.savefig(
                stream, format=image_format, dpi=options.dpi, metadata=by_format[image_format]
            )
    data = stream.getvalue()
    if image_format == "svg":
        return re.sub(rb"(<[^>]*font-family: '%s')" % FONT.encode(), SUBSTITUTES, data)
    return data


def lay_out(figure: Figure) -> None:
    """Lay the figure out once and round the positions, for all its files.

    The layout's solver orders its unknowns by memory address, so the last digits of positions vary
    from run to run; SVG derives ids from them.
    """
    engine = figure.get_layout_engine()
    if engine is None or isinstance(engine, PlaceHolderLayoutEngine) or not figure.axes:
        return
    engine.execute(figure)
    if isinstance(figure, PlotFigure) and figure.is_fitted:
        for axes in figure.axes:
            _thin_ticks(axes)
        missing = figure.missing_height()
        figure.set_figheight(round(figure.get_figheight() + missing, POSITION_DIGITS))
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        bounds = axes.get_position(original=True).bounds
        axes.set_position(tuple(round(part, POSITION_DIGITS) for part in bounds))


def _thin_ticks(axes: Axes) -> None:
    """Fewer ticks where the numbers along a linear x axis would touch.

    Their number is then fixed: matplotlib chooses it again whenever it draws, by the size of text
    that is set at that moment, which is another one where the file is written.
    """
    locator = axes.xaxis.get_major_locator()
    if not axes.axison or not isinstance(locator, MaxNLocator):
        return
    if isinstance(locator, AutoLocator):
        axes.locator_params(axis="x", nbins=min(MOST_TICKS, max(1, axes.xaxis.get_tick_space())))
    for count in (None, *FEWER_TICKS):
        if count is not None:
            axes.locator_params(axis="x", nbins=count)
        low, high = sorted(axes.get_xlim())
        axes.xaxis._update_ticks()  # type: ignore[attr-defined]
        ticks = [tick for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
        boxes = sorted(
            (tick.label1.get_window_extent() for tick in ticks if tick.label1.get_text()),
            key=lambda box: box.x0,
        )
        gap = TICK_GAP * float(matplotlib.rcParams["font.size"]) * axes.figure.dpi / POINTS
        if all(one.x1 + gap <= other.x0 for one, other in pairwise(boxes)):
            return


def draw_message(options: PlotOptions, message: str) -> Figure:
    """A figure that shows `message` instead of data."""
    figure = new_figure(options, 6.0, 3.0 if options.width is None else 1.5)
    lines = wrap_to(message, 0.9 * figure.get_figwidth(), matplotlib.rcParams["font.size"])
    figure.text(0.5, 0.5, lines, ha="center", va="center", color="#555555")
    return figure


def plot_band(
    axes: Axes,
    x: Sequence[float],
    series: Mapping[str, Any],
    *,
    color: Any,
    label: str,
    **line: Any,
) -> None:
    """Draw the mean as a line and one standard error as a band.

    series: the lists `mean` and `standard_error`. line: matplotlib's `plot` arguments; a marker
    stands at a few places of a long line.
    """
    mean = [float("nan") if value is None else value for value in series["mean"]]
    if line.get("marker"):
        line = {"markevery": max(1, ceil(len(mean) / MARKERS_A_LINE))} | line
    axes.plot(x, mean, color=color, label=label, **line)
    errors = series["standard_error"]
    if any(error for error in errors):
        low = [m - (e or 0.0) for m, e in zip(mean, errors, strict=True)]
        high = [m + (e or 0.0) for m, e in zip(mean, errors, strict=True)]
        axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


TITLE_LETTERS_PER_INCH = 11.5
TITLE_MARGIN_INCHES = 0.1


def error_bar(statistic: Mapping[str, Any] | None, scale: float = 1.0) -> float:
    """The length of an error bar of one standard error; NaN, which draws none, if it is unknown."""
    error = None if statistic is None else statistic["standard_error"]
    return nan if error is None else scale * float(error)


def add_title(figure: Figure, title: str, note: str = "", **place: Any) -> None:
    """The title over all axes, wrapped to the figure's width, and below it the note.

    note: the meaning of bars and bands, and what is not drawn; it stays where the options leave out
    the title. place: matplotlib's `suptitle` arguments, for a title that is not centred.
    """
    size, width, note = 10.0, figure.get_figwidth(), note.removeprefix("; ")
    shown = [title, note]
    if isinstance(figure, PlotFigure):
        size = figure.text_size(size)
        shown = [note] if figure.options.title == "none" else shown
    if isinstance(figure, PlotFigure) and figure.is_fitted:
        lines = [wrap_to(text, width - TITLE_MARGIN_INCHES, size) for text in shown if text]
    else:
        lines = [wrap(text, int(TITLE_LETTERS_PER_INCH * width)) for text in shown if text]
    if lines:
        figure.suptitle("\n".join(lines), fontsize=size, **place)


def choose_points(scores: Sequence[float | None], most: int) -> list[int]:
    """The places of the points that a figure draws, in their order; at most `most`.

    All, or the best and the worst by score and others evenly spaced over the sweep.
    """
    count = len(scores)
    if count <= most:
        return list(range(count))
    known = [place for place, score in enumerate(scores) if score is not None and isfinite(score)]
    extremes = [
        choose(known, key=lambda place: scores[place] or 0.0) for choose in (max, min) if known
    ]
    steps = max(1, most - len(extremes) - 1)
    others = [round(step * (count - 1) / steps) for step in range(steps + 1)]
    return sorted([*dict.fromkeys(extremes + others)][:most])


def describe_left_out(
    drawn: Sequence[Any], numbers: Mapping[str, Any], chosen: str = ", with the best and the worst"
) -> str:
    """A note for a figure that does not draw all points; empty if it does.

    numbers: of the plot; `num_points` counts the points of the experiment where `points` holds only
    some, and `chosen` says which. chosen: of those in `points`, which ones are certainly drawn.
    """
    total = numbers.get("num_points", len(numbers["points"]))
    if len(drawn) == total:
        return ""
    if len(drawn) == len(numbers["points"]):
        chosen = f": {numbers['chosen']}" if numbers.get("chosen") else ""
    elif len(drawn) == 1:
        chosen = ", the best" if chosen else ""
    count = (
        "1 of {} points is drawn" if len(drawn) == 1 else f"{len(drawn)} of {{}} points are drawn"
    )
    return f"; {count.format(total)}{chosen}"


def add_legend(figure: Figure, axes: Axes) -> None:
    """One legend below all axes of the figure."""
    handles, labels = axes.get_legend_handles_labels()
    if any(labels):
        draw_legend(figure, handles, labels, fitting_columns(figure.get_figwidth(), labels))


def draw_legend(
    figure: Figure,
    handles: Sequence[Any],
    labels: Sequence[str],
    columns: int,
    place: str = BELOW,
    *,
    by_rows: bool = False,
) -> None:
    """A legend of the figure; long labels are broken, entries beyond MAX_LEGEND are counted.

    columns: at most; a figure of a chosen width has as many as fit. by_rows: the entries follow one
    another in rows, not in columns.
    """
    is_fitted = isinstance(figure, PlotFigure) and figure.is_fitted
    handles, labels = list(handles), list(labels)
    most = MAX_FITTED_LEGEND if is_fitted else MAX_LEGEND
    if len(labels) > most:
        left_out = len(labels) - most + 1
        handles[most - 1 :] = [Line2D([], [], linestyle="none")]
        labels[most - 1 :] = [f"and {left_out} more"]
    if is_fitted:
        columns, labels = _fit_columns(figure, labels, 1 if place != BELOW else FITTED_COLUMNS)
    else:
        width = int((figure.get_figwidth() - COLUMN_INCHES) / LETTER_INCHES)
        letters = LEGEND_LETTERS if columns > 1 else min(LEGEND_LETTERS, width)
        labels = [wrap(label, letters) for label in labels]
    if by_rows:
        columns = ceil(len(labels) / ceil(len(labels) / columns))
        order = [
            start for column in range(columns) for start in range(column, len(labels), columns)
        ]
        handles, labels = [handles[one] for one in order], [labels[one] for one in order]
    options: dict[str, Any] = {"loc": place, "ncols": min(len(labels), columns)}
    figure.legend(handles, labels, **options)


def _fit_columns(figure: Figure, labels: Sequence[str], most: int) -> tuple[int, list[str]]:
    """The most columns whose labels fit into the figure, and the labels in lines that do."""
    size = float(matplotlib.rcParams["legend.fontsize"])
    for columns in range(min(most, len(labels)), 1, -1):
        widths = [
            max(text_inches(label, size) for label in labels[place::columns])
            for place in range(columns)
        ]
        rows = ceil(len(labels) / columns)
        widths_by_column = [
            max(text_inches(label, size) for label in labels[start : start + rows])
            for start in range(0, len(labels), rows)
        ]
        widest = max(sum(widths), sum(widths_by_column))
        if widest + legend_inches(columns, size) <= figure.get_figwidth():
            return columns, list(labels)
    space = figure.get_figwidth() - legend_inches(1, size)
    return 1, [wrap_to(label, space, size) for label in labels]


def legend_inches(columns: int, size: float) -> float:
    """The width of a legend of a figure of a chosen width without its letters."""
    params = matplotlib.rcParams
    column = params["legend.handlelength"] + params["legend.handletextpad"]
    between = params["legend.columnspacing"] * (columns - 1) + 2 * params["legend.borderpad"]
    around = 2 * params["legend.borderaxespad"] + 1.0
    return float((columns * column + between + around) * size / POINTS)


def count_columns(width: float, labels: Sequence[str]) -> int:
    """How many columns of a legend with these labels fit into `width` inches; at least one."""
    longest = min(LEGEND_LETTERS, max(map(len, labels)))
    return max(1, int(width / (COLUMN_INCHES + LETTER_INCHES * longest)))


def fitting_columns(width: float, labels: Sequence[str], most: int = LEGEND_COLUMNS) -> int:
    """As `count_columns`, at most `most`; each column is only as wide as its own labels."""
    for columns in range(min(most, len(labels)), 1, -1):
        rows = ceil(len(labels) / columns)
        groups = [labels[start : start + rows] for start in range(0, len(labels), rows)]
        letters = sum(min(LEGEND_LETTERS, max(map(len, group))) for group in groups)
        if len(groups) * NARROW_COLUMN_INCHES + letters * NARROW_LETTER_INCHES <= width:
            return columns
    return 1


def legend_height(count: int) -> float:
    """Inches that a legend of `count` entries needs beyond the two rows that every figure holds."""
    return LEGEND_ROW_INCHES * max(0, ceil(min(count, MAX_LEGEND) / LEGEND_COLUMNS) - 2)


def set_scales(axes: Axes, *, x: str | None = None, y: str | None = None) -> None:
    """Set the scales after the data are drawn; linear where no value is positive.

    A logarithmic axis with a value of 0 has a linear part for it, shaded, below the decade of the
    smallest positive value. x, y: matplotlib's names; None leaves the axis as it is.
    """
    for name, scale in (("x", x), ("y", y)):
        if scale is None:
            continue
        joined = getattr(axes, f"get_shared_{name}_axes")().get_siblings(axes)
        positive = [getattr(one.dataLim, f"minpos{name}") for one in joined]
        if scale != "log" or any(map(isfinite, positive)):
            if scale == "log" and any(_has_zero(one, name) for one in joined):
                _set_scale_with_zero(axes, name, max(_TINY, 10.0 ** floor(log10(min(positive)))))
            else:
                getattr(axes, f"set_{name}scale")(scale)
        else:
            getattr(axes, f"set_{name}scale")("linear")


def _has_zero(axes: Axes, name: str) -> bool:
    """Whether a line or a marker of the axes is at 0."""
    place = "xy".index(name)
    values = [
        getattr(line, f"get_{name}data")()
        for line in axes.lines
        if line.get_transform().contains_branch_seperately(axes.transData)[place]
    ]
    markers = [one for one in axes.collections if isinstance(one, PathCollection)]
    values += [one.get_offsets()[:, place] for one in markers]  # type: ignore[index]
    return any(value == 0 for series in values for value in series)


def _set_scale_with_zero(axes: Axes, name: str, smallest: float) -> None:
    getattr(axes, f"set_{name}scale")("symlog", linthresh=smallest, linscale=0.5)
    shade = axes.axvspan if name == "x" else axes.axhspan
    shade(-0.25 * smallest, smallest, color=LINEAR_PART, zorder=0, linewidth=0)
    getattr(axes, f"set_{name}lim")(-0.25 * smallest)
