"""Bounds what a picture of a plot may take: drawing is slow, and one plot is drawn at a time."""

from __future__ import annotations

from api.http.problems import ProblemRaised
from engine.errors import FieldError
from schemas.problems import ProblemCode

MAX_DRAWN_POINTS = 400
"""More than can be told apart in a picture; the largest sweep of the paper has 86."""
MAX_PIXELS = 16_000_000
"""A page of 20 by 20 inches at 200 dpi."""
USUAL_INCHES = 8.0


def check_drawing(num_points: int, width: float | None, height: float | None, dpi: int) -> None:
    """Raises a 422 problem for too many points or pixels. A side of None is taken as usual."""
    if num_points > MAX_DRAWN_POINTS:
        detail = (
            f"the experiment has {num_points:,} points, and a picture shows at most "
            f"{MAX_DRAWN_POINTS}; the same plot as .json holds all numbers"
        )
        raise ProblemRaised(
            422, ProblemCode.LIMIT_EXCEEDED, detail, [FieldError("#", "limit-exceeded", detail)]
        )
    pixels = (width or USUAL_INCHES) * (height or USUAL_INCHES) * dpi**2
    if pixels > MAX_PIXELS:
        detail = (
            f"the picture would have {pixels:,.0f} pixels; the limit is {MAX_PIXELS:,}: lower dpi, "
            "width or height"
        )
        error = FieldError("#/query/dpi", "limit-exceeded", detail)
        raise ProblemRaised(422, ProblemCode.LIMIT_EXCEEDED, detail, [error])
