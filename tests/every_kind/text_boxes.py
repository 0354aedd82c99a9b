"""Where the texts of a figure are, by matplotlib's own boxes, and which of them are in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from engine.plotting import drawing

POINTS = 72
SLACK_POINTS = 1.0
"""Boxes may overlap or leave the figure this much: they are larger than the letters in them."""


@dataclass(frozen=True)
class DrawnText:
    text: str
    size: float
    """Points."""
    box: Bbox
    """Points, from the lower left corner of the figure."""


def list_texts(figure: Figure) -> list[DrawnText]:
    """Every text that is drawn: titles, ticks, labels, legends, notes, values."""
    with drawing():  # texts are measured in the font of the plots
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        unseen = set(_list_hidden_ticks(figure))
        scale = POINTS / figure.dpi
        return [
            DrawnText(
                text.get_text(),
                float(text.get_fontsize()),
                Bbox(text.get_window_extent(renderer).get_points() * scale),
            )
            for text in figure.findobj(Text)
            if text not in unseen and text.get_visible() and text.get_text().strip()
        ]


def _list_hidden_ticks(figure: Figure) -> Iterator[Text]:
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                is_shown = axes.axison and low <= tick.get_loc() <= high
                for label in (tick.label1, tick.label2):
                    if not (is_shown and label.get_visible()):
                        yield label
            if not axes.axison:
                yield axis.label
                yield axis.offsetText


def find_overlaps(texts: Sequence[DrawnText]) -> list[tuple[str, str]]:
    """Pairs of texts that overlap: sorted from left to right, only neighbours are compared."""
    found = []
    boxes = sorted(((*map(float, one.box.extents),), one.text) for one in texts)
    for place, ((_, low, right, high), text) in enumerate(boxes):
        for (other_left, other_low, other_right, other_high), other in boxes[place + 1 :]:
            if right - other_left <= SLACK_POINTS:
                break
            width = min(right, other_right) - other_left
            height = min(high, other_high) - max(low, other_low)
            if min(width, height) > SLACK_POINTS:
                found.append((text, other))
    return found


def find_outside(texts: Sequence[DrawnText], figure: Figure) -> list[str]:
    """Texts that leave the figure."""
    width, height = POINTS * figure.get_size_inches()
    return [
        one.text
        for one in texts
        if min(one.box.x0, one.box.y0) < -SLACK_POINTS
        or one.box.x1 > width + SLACK_POINTS
        or one.box.y1 > height + SLACK_POINTS
    ]


def find_legends_over_axes(figure: Figure) -> int:
    """How many legends cover a part of the axes."""
    areas = [axes.get_window_extent() for axes in figure.axes]
    with drawing():
        boxes = [legend.get_window_extent() for legend in figure.legends]
    slack = SLACK_POINTS * figure.dpi / POINTS
    return sum(
        min(box.x1, area.x1) - max(box.x0, area.x0) > slack
        and min(box.y1, area.y1) - max(box.y0, area.y0) > slack
        for box in boxes
        for area in areas
    )


def smallest_text(texts: Sequence[DrawnText]) -> float:
    """Points."""
    return min(one.size for one in texts)
