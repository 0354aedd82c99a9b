"""A bar of one seed is drawn without an error bar, not with one of length zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from engine.analysis.stats import summarize
from engine.drawing.accuracy_bars import draw_accuracy_bars
from engine.plotting import PlotOptions


def bars(*samples: list[float]) -> Figure:
    points: list[dict[str, Any]] = [
        {
            "values": {"model.width": 10 * number},
            "initial_test_accuracy": summarize([0.1]).model_dump(),
            "test_accuracy": summarize(sample).model_dump(),
            "outcome": "trained",
        }
        for number, sample in enumerate(samples, 1)
    ]
    return draw_accuracy_bars({"title": "bars", "points": points}, PlotOptions())


def test_a_point_of_one_seed_has_no_error_bar() -> None:
    (axes,) = bars([0.9], [0.8, 0.9]).axes
    container = axes.containers[-1]
    assert isinstance(container, ErrorbarContainer)
    (errors,) = container.lines[2]
    lengths = [
        segment[1][1] - segment[0][1] if len(segment) else np.nan
        for segment in errors.get_segments()
    ]
    assert np.isnan(lengths[0])
    assert lengths[1] == pytest.approx(2 * 5.0)
    (label,) = [text for text in axes.texts if text.get_text() == "90.0"]
    assert label.get_position()[1] == 91.0
