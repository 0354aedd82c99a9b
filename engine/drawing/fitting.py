"""Draws a plot so that its text stays inside the picture, at any size."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from engine.drawing.text import clean_strings
from engine.kind import PlotProcedures
from engine.plotting import PlotOptions, draw_message, drawing, lay_out

TEXT_SCALES = (1.0, 0.86, 0.7, 0.5, 0.35, 0.22)
"""Sizes of the text that are tried, in this order; the second leaves 6 of 7 points."""
NO_ROOM = "constrained_layout not applied"
"""How matplotlib's warning begins where the texts leave no room for the axes."""
EDGE_INCHES = 0.03
"""Text may reach this far outside: its box is larger than its letters."""
OVERLAP_INCHES = 0.02
"""Boxes of texts may overlap this much, for the same reason."""


def draw_plot(
    plots: PlotProcedures, name: str, numbers: Mapping[str, Any], options: PlotOptions
) -> Figure:
    """The figure of a plot, laid out; the one way from numbers to a figure.

    Strings in the numbers are drawn letter by letter. At a size with too little room the text
    becomes smaller, which a chosen width without a height does not need; where even the smallest
    does not fit, the figure only says so.
    """
    shown = clean_strings(numbers)
    has_own_size = options.width is not None or options.height is not None
    best: Figure | None = None
    with drawing(options):
        for scale in TEXT_SCALES:
            figure: Figure = plots.draw(name, shown, options)
            _scale_text(figure, scale)
            if _lay_out_quietly(figure) and _is_inside(figure):
                best = figure
                if not (has_own_size and has_overlaps(figure)):
                    return figure
        return best or draw_message(options, "This plot needs a larger picture.")


def _scale_text(figure: Figure, scale: float) -> None:
    if scale == 1.0:
        return
    ticks = [
        (axis, float(axis.get_major_ticks()[0].label1.get_fontsize()))
        for axes in figure.findobj(Axes)
        for axis in (axes.xaxis, axes.yaxis)
        if axis.get_major_ticks()
    ]
    for text in figure.findobj(Text):
        text.set_fontsize(scale * float(text.get_fontsize()))
    for axis, size in ticks:  # ticks that the layout adds take their size from the axis
        axis.set_tick_params(labelsize=scale * size)


def _lay_out_quietly(figure: Figure) -> bool:
    """Lay the figure out; False where the axes have no room. Other warnings are passed on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lay_out(figure)
    others = [one for one in caught if NO_ROOM not in str(one.message)]
    for one in others:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return len(others) == len(caught)


def _is_inside(figure: Figure) -> bool:
    """Whether nothing that the figure shows is cut off; also updates the places of its texts."""
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return bool(
        min(box.x0, box.y0) >= -EDGE_INCHES
        and box.x1 <= width + EDGE_INCHES
        and box.y1 <= height + EDGE_INCHES
    )


def has_overlaps(figure: Figure) -> bool:
    """Whether two texts overlap: sorted from left to right, only neighbours are compared."""
    slack = OVERLAP_INCHES * figure.dpi
    boxes = sorted(_list_boxes(figure), key=lambda box: box.x0)
    for place, one in enumerate(boxes):
        for other in boxes[place + 1 :]:
            if other.x0 > one.x1 - slack:
                break
            if min(one.y1, other.y1) - max(one.y0, other.y0) > slack:
                return True
    return False


def _list_boxes(figure: Figure) -> list[Bbox]:
    """The boxes of all legends and of the other texts that are drawn, in pixels.

    Slanted texts are left out: their boxes overlap although they do not.
    """
    packed = {text for legend in figure.legends for text in legend.findobj(Text)}
    hidden = packed | {
        label
        for axes in figure.findobj(Axes)
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
        if not (axes.axison and _is_in_view(tick.get_loc(), axis.get_view_interval()))
    }
    shown = [
        text
        for text in figure.findobj(Text)
        if text not in hidden and text.get_visible() and text.get_text().strip()
    ]
    upright = [text for text in shown if text.get_rotation() % 90 == 0]
    return [artist.get_window_extent() for artist in (*figure.legends, *upright)]


def _is_in_view(place: float, interval: Sequence[float]) -> bool:
    return min(interval) <= place <= max(interval)
