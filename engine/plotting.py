"""Shared by all plots: size and style, colours, byte-stable files.

Imports matplotlib, never pyplot or torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from math import ceil, isfinite, nan
from threading import RLock
from typing import Any, Literal

os.environ.update(MPLBACKEND="agg")  # a notebook's value would make the import fail

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.lines import Line2D

from engine.drawing.text import FONT, wrap

Scale = Literal["linear", "log"]
ImageFormat = Literal["png", "svg", "pdf"]

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Colours that colour-blind readers can distinguish (Okabe & Ito)."""

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
MAX_INCHES = 60.0
"""Largest default size of a figure: with the finest resolution it is still an image."""

POSITION_DIGITS = 6
"""Decimals of a position in a figure: thousandths of a pixel."""

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
    "lines.linewidth": 1.5,
    "figure.facecolor": "white",
    "svg.hashsalt": "richregime",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}

_DEFAULTS = {
    name: value
    for name, value in matplotlib.rcParamsDefault.items()
    if name not in ("backend", "backend_fallback")
}
"""matplotlib's own settings, without those of a user's file or style."""

_LOCK = RLock()
"""matplotlib's settings and font cache are per process, so only one thread draws at a time."""


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """How a plot is drawn. Sizes in inches; None takes the plot's default."""

    width: float | None = None
    height: float | None = None
    dpi: int = 150
    xscale: Scale | None = None
    yscale: Scale | None = None


def drawing() -> AbstractContextManager[Any]:
    """Context for drawing and saving: one thread at a time, with STYLE applied."""
    return _Drawing()


class _Drawing(AbstractContextManager[None]):
    def __enter__(self) -> None:
        _LOCK.acquire()
        self._style = matplotlib.rc_context(_DEFAULTS | STYLE)  # type: ignore[arg-type]
        self._style.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self._style.__exit__(*exception)
        _LOCK.release()


def new_figure(options: PlotOptions, width: float, height: float) -> Figure:
    """An empty figure of the options' size, else of the given size; axes do not overlap."""
    figure = Figure(
        figsize=(
            options.width or min(width, MAX_INCHES),
            options.height or min(height, MAX_INCHES),
        ),
        dpi=options.dpi,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, image_format: ImageFormat, options: PlotOptions) -> bytes:
    """The figure as a file; equal figures give equal bytes."""
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
    with drawing():
        lay_out(figure)
        figure.savefig(
            stream, format=image_format, dpi=options.dpi, metadata=by_format[image_format]
        )
    return stream.getvalue()


def lay_out(figure: Figure) -> None:
    """Lay the figure out once and round the positions, for all its files.

    The layout's solver orders its unknowns by memory address, so the last digits of positions vary
    from run to run; SVG derives ids from them.
    """
    engine = figure.get_layout_engine()
    if engine is None or isinstance(engine, PlaceHolderLayoutEngine) or not figure.axes:
        return
    engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        bounds = axes.get_position(original=True).bounds
        axes.set_position(tuple(round(part, POSITION_DIGITS) for part in bounds))


def draw_message(options: PlotOptions, message: str) -> Figure:
    """A figure that shows `message` instead of data."""
    figure = new_figure(options, 6.0, 3.0)
    message = wrap(message, int(TITLE_LETTERS_PER_INCH * figure.get_figwidth()))
    figure.text(0.5, 0.5, message, ha="center", va="center", color="#555555")
    return figure


def series_colors(points: Sequence[Mapping[str, Any]]) -> list[Any]:
    """One colour per point: viridis in order if the points differ in one number, else OKABE_ITO."""
    axes = {name for values in points for name in values}
    if len(axes) == 1 and len(points) > 2:
        (name,) = axes
        numbers = [values[name] for values in points]
        if all(
            isinstance(number, int | float) and not isinstance(number, bool) for number in numbers
        ):
            ranks = {number: rank for rank, number in enumerate(sorted(set(numbers)))}
            scale = matplotlib.colormaps["viridis"]
            return [scale(0.9 * ranks[number] / max(len(ranks) - 1, 1)) for number in numbers]
    if len(points) > len(OKABE_ITO):
        scale = matplotlib.colormaps["viridis"]
        return [scale(0.95 * index / (len(points) - 1)) for index in range(len(points))]
    return list(OKABE_ITO[: len(points)])


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

    series: the lists `mean` and `standard_error`.
    """
    mean = [float("nan") if value is None else value for value in series["mean"]]
    axes.plot(x, mean, color=color, label=label, **line)
    errors = series["standard_error"]
    if any(error for error in errors):
        low = [m - (e or 0.0) for m, e in zip(mean, errors, strict=True)]
        high = [m + (e or 0.0) for m, e in zip(mean, errors, strict=True)]
        axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


TITLE_LETTERS_PER_INCH = 11.5


def error_bar(statistic: Mapping[str, Any] | None, scale: float = 1.0) -> float:
    """The length of an error bar of one standard error; NaN, which draws none, if it is unknown."""
    error = None if statistic is None else statistic["standard_error"]
    return nan if error is None else scale * float(error)


def add_title(figure: Figure, title: str, note: str = "", **place: Any) -> None:
    """The title over all axes, wrapped to the figure's width, and below it the note.

    note: the meaning of bars and bands. place: matplotlib's `suptitle` arguments, for a title that
    is not centred.
    """
    columns = int(TITLE_LETTERS_PER_INCH * figure.get_figwidth())
    lines = [wrap(text, columns) for text in (title, note) if text]
    figure.suptitle("\n".join(lines), fontsize=10, **place)


def describe_left_out(drawn: Sequence[Any], points: Sequence[Any]) -> str:
    """A note for a figure that does not draw all points; empty if it does."""
    return f"; the first {len(drawn)} of {len(points)} points" if len(drawn) < len(points) else ""


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
    place: str = "outside lower center",
) -> None:
    """A legend of the figure; long labels are broken, entries beyond MAX_LEGEND are counted."""
    width = int((figure.get_figwidth() - COLUMN_INCHES) / LETTER_INCHES)
    letters = LEGEND_LETTERS if columns > 1 else min(LEGEND_LETTERS, width)
    handles, labels = list(handles), [wrap(label, letters) for label in labels]
    if len(labels) > MAX_LEGEND:
        left_out = len(labels) - MAX_LEGEND + 1
        handles[MAX_LEGEND - 1 :] = [Line2D([], [], linestyle="none")]
        labels[MAX_LEGEND - 1 :] = [f"and {left_out} more"]
    options: dict[str, Any] = {"loc": place, "ncols": min(len(labels), columns)}
    figure.legend(handles, labels, **options)


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

    x, y: matplotlib's names; None leaves the axis as it is.
    """
    for name, scale in (("x", x), ("y", y)):
        if scale is not None:
            joined = getattr(axes, f"get_shared_{name}_axes")().get_siblings(axes)
            positive = [getattr(one.dataLim, f"minpos{name}") for one in joined]
            is_drawable = scale != "log" or any(map(isfinite, positive))
            getattr(axes, f"set_{name}scale")(scale if is_drawable else "linear")
