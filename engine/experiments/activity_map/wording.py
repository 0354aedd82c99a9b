"""What the plots of an activity map say about points, bins and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.drawing.figure import PlotFigure
from engine.drawing.measure import wrap_to
from engine.drawing.text import wrap

LETTERS_PER_INCH = 13.0
"""Of a point's name."""
READING = "Rows: outputs of a layer; columns: its inputs; kernels as tiles."
TITLE_SHARE = 0.85
"""Of a panel's width, for its title in a figure of a chosen width."""


def describe_point(point: Mapping[str, Any], name: str, letters: int) -> str:
    """The name, number of parameters, accuracy and outcome, in one line if it fits."""
    facts = describe_facts(point)
    text = f"{name or 'net'}  {facts}"
    return text if len(text) <= letters else f"{wrap(name or 'net', letters)}\n{facts}"


def describe_facts(point: Mapping[str, Any]) -> str:
    accuracy = 100 * point["test_accuracy"]["mean"]
    mark = ", not trained" if point["outcome"] != "trained" else ""
    return f"(p = {point['parameters']:,}, test accuracy {accuracy:.1f} %{mark})"


def title_of_panel(figure: PlotFigure, point: Mapping[str, Any], name: str, columns: int) -> str:
    """As `describe_point`, as wide as one of `columns` panels of the figure."""
    if not figure.is_fitted:
        letters = int(LETTERS_PER_INCH * figure.get_figwidth() / columns)
        return describe_point(point, name, letters)
    width = TITLE_SHARE * figure.get_figwidth() / columns
    lines = f"{name or 'net'}\n{describe_facts(point)}"
    return wrap_to(lines, width, figure.text_size(8.5))


def describe_bins(numbers: Mapping[str, Any]) -> str:
    """The label of the colour bar."""
    words = "mean" if numbers["reduction"] == "mean" else "most active parameter"
    return f"Share of epochs active ({words} of each bin)"


def name_piece(layer: Mapping[str, Any], point: Mapping[str, Any]) -> str:
    """The tensor's name with a blank before it, where its layer has several; else empty."""
    same = [other for other in point["maps"] if other["layer"] == layer["layer"]]
    return f" {layer['parameter'].split('.')[-2]}" if len(same) > 1 else ""
