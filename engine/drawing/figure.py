"""How large a plot is drawn and with which text: on a page, in a column of a paper, on a slide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Scale = Literal["linear", "log"]
WidthName = Literal["column", "text", "slide"]
TitleChoice = Literal["shown", "none"]

WIDTH_INCHES: dict[str, float] = dict(zip(get_args(WidthName), (3.25, 6.75, 10.0), strict=True))
"""A column and the text of a two-column paper, and a slide."""
SLIDE_ENLARGEMENT = 1.75
"""A slide is a narrower figure with everything drawn larger: text of 12 to 14 points."""
SMALLEST_POINTS, LARGEST_POINTS = 7.0, 8.0
"""Text of a figure whose width is chosen, at the size at which it is printed."""
MAX_INCHES = 20.0
"""Largest size of a figure where none is chosen: 3,000 pixels at 150 dpi, 8,000 at 400."""
PAGE_INCHES = 9.0
"""Height of a page of a paper; figures of a chosen width draw as many points as fit into it."""
SPARE_INCHES = 9.0
"""Room for titles, labels and legends before their height is known."""


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """How a plot is drawn. Sizes in inches; None takes the plot's default.

    width: also a name of WIDTH_INCHES. Where it is chosen, the plot is laid out for it, with text
    of SMALLEST_POINTS to LARGEST_POINTS. title: `none` leaves the experiment's name to the caption.
    """

    width: float | WidthName | None = None
    height: float | None = None
    dpi: int = 150
    xscale: Scale | None = None
    yscale: Scale | None = None
    title: TitleChoice = "shown"

    @property
    def width_inches(self) -> float | None:
        return WIDTH_INCHES[self.width] if isinstance(self.width, str) else self.width

    @property
    def enlargement(self) -> float:
        return SLIDE_ENLARGEMENT if self.width == "slide" else 1.0


class PlotFigure(Figure):
    """A figure that is laid out for its options."""

    def __init__(self, options: PlotOptions, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.options = options
        self.stack: Sequence[Axes] = ()
        self.stack_inches = 0.0

    @property
    def is_fitted(self) -> bool:
        """Whether the width is chosen, and so the layout and the text are made for it."""
        return self.options.width is not None

    @property
    def space(self) -> float:
        """The width in inches of a figure with text of the usual size; what a layout decides by."""
        return float(self.get_figwidth()) / self.options.enlargement

    def scaled(self, usual: float) -> float:
        """A length, such as a line width in points, at the figure's enlargement."""
        return usual * self.options.enlargement

    def text_size(self, usual: float) -> float:
        """Points of a text that has `usual` points in a figure of the default size."""
        if not self.is_fitted:
            return usual
        return self.scaled(min(max(usual, SMALLEST_POINTS), LARGEST_POINTS))

    def set_panel_height(self, stack: Iterable[Axes], inches: float) -> None:
        """Make these axes, one above the other, `inches` high in all, whatever is around them."""
        if self.is_fitted and self.options.height is None:
            self.stack, self.stack_inches = list(stack), self.scaled(inches)
            self.set_figheight(self.stack_inches + self.scaled(SPARE_INCHES))

    def missing_height(self) -> float:
        """Inches that the figure has to grow for the height of the panels."""
        if not self.stack:
            return 0.0
        height = sum(axes.get_position().height for axes in self.stack) * self.get_figheight()
        return self.stack_inches - float(height)
