"""A plot that a kind can draw."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.answers import Better
from schemas.base import Resource
from schemas.links import Links


class PlotQuantity(Resource):
    """A number of the answer that a plot of the sweep can show."""

    name: str
    title: str
    unit: str = Field(
        description="`accuracy`, `share`, `difference`, `percent`, `seconds`, `ratio`, `loss`, "
        "`count` or empty."
    )
    better: Better | None = Field(description="Which of two values is better; null where neither.")


class Plot(Resource):
    name: str
    title: str
    description: str
    applies: bool = Field(
        default=True, description="Whether it shows anything of this experiment; else no links."
    )
    reason: str | None = Field(default=None, description="Why it does not apply.")
    shows: Literal["sweep", "points", "all"] = Field(
        default="points",
        description="`sweep`: a quantity over the swept fields; `points`: curves, bars or maps of "
        "points, of which `points=` chooses; `all`: every point.",
    )
    quantities: list[PlotQuantity] = Field(
        default=[],
        description="Of plots of the sweep: the values of `quantity=`, the default first. Empty "
        "while no run has finished.",
    )
    links: Links
