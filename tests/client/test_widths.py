"""Commands at exact widths of the terminal: no line is longer, and no label or id is cut off."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from richregime.layout import shorten
from richregime.sparklines import BLOCKS, curves_table
from richregime.tables import experiment_table, experiments_table, queue_table
from richregime.types import AggregatedMetrics, Experiment, Run, WaitingExperiment

NOW = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
NAMES = ("short", "W" * 200, "幅と深さ " * 20, "two\nlines\tof a name")
PROGRESS = {"fraction": 0.5, "completed": 1, "total": 2, "unit": "epochs", "eta_seconds": 3_700.0}
METRICS = ("test_accuracy", "train_loss")


def written(what: RenderableType, width: int) -> list[str]:
    """The lines that a terminal of this width shows; none may be wrapped or too long."""
    out = StringIO()
    console = Console(width=width, file=out, color_system=None, force_terminal=True)
    console.print(what, highlight=False)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert all(cell_len(line) <= width for line in lines), lines
    return [line for line in lines if line]


def make_experiment(number: int, **values: Any) -> Experiment:
    fields: dict[str, Any] = {
        "id": f"exp_{number:022d}",
        "kind": "gradient_spectrum",
        "name": NAMES[number],
        "labels": {},
        "priority": 0,
        "status": "succeeded",
        "terminal": True,
        "reason": None,
        "detail": None,
        "progress": PROGRESS,
        "queue": {"runs_ahead": 0, "workers_listening": 1},
        "counts": {"succeeded": 1},
        "num_points": 2,
        "seeds": [0, 1],
        "sweep": {"model.width": [10, 20]},
        "spec": {},
        "execution": {},
        "max_seconds": None,
        "keep": "all",
        "digest": "0",
        "reused": False,
        "created_at": NOW,
        "started_at": NOW,
        "finished_at": NOW,
        "links": {},
    }
    return Experiment.model_validate({**fields, **values})


def make_run(number: int, values: dict[str, Any]) -> Run:
    fields: dict[str, Any] = {
        "id": f"run_{number:022d}",
        "experiment_id": "exp_0",
        "point": {"index": number, "values": values},
        "seeds": list(range(100)),
        "status": "succeeded",
        "terminal": True,
        "attempts": 1,
        "interruptions": 0,
        "reason": None,
        "detail": None,
        "device": "cpu",
        "worker": None,
        "progress": PROGRESS,
        "cancel_requested": False,
        "created_at": NOW,
        "started_at": NOW,
        "finished_at": NOW,
        "elapsed_seconds": 172_799.0,
        "manifest": None,
        "links": {},
    }
    return Run.model_validate(fields)


@pytest.mark.parametrize("width", [60, 80, 300])
def test_a_list_has_every_id_whole_and_the_ends_of_every_name(width: int) -> None:
    experiments = [make_experiment(number) for number in range(len(NAMES))]
    lines = written(experiments_table(experiments, width), width)
    text = "\n".join(lines)
    for one in experiments:
        assert one.id in text
        assert shorten(str(one.name), min(width, 200)) in text
    lines_each = {60: 3, 80: 2, 300: 1}[width]
    assert len(lines) == lines_each * len(NAMES) + (2 if width == 300 else 0)


@pytest.mark.parametrize("width", [60, 80, 400])
def test_the_runs_of_an_experiment_keep_id_status_time_and_point(width: int) -> None:
    long = {"policy": {"name": "top_k_all_bottoms", "k": 1, "rho": 0.1, "draw_every": "step"}}
    runs = [make_run(0, {"model.width": 10}), make_run(1, long), make_run(2, {})]
    address = f"http://127.0.0.1:8000/view/exp_{0:022d}"
    lines = written(experiment_table(make_experiment(1), runs, address, width), width)
    text = "\n".join(lines)
    for run in runs:
        row = next(line for line in lines if run.id in line)
        assert "succeeded" in row
        assert "47 h 59 min" in row
    assert "width 10, seeds 0, 1" in text
    assert "the only point" in text
    assert "policy top_k_all_bottoms" in text
    assert address.removeprefix("http://")[:20] in text


@pytest.mark.parametrize("width", [60, 80, 300])
def test_the_queue_names_what_waits_and_tells_roughly_when_it_starts(width: int) -> None:
    waiting = [
        WaitingExperiment(
            id=f"exp_{number:022d}",
            title=title,
            status="queued",
            queued=12,
            starts_in_seconds=times,
        )
        for number, (title, times) in enumerate(
            zip(NAMES, ({"low": 100.0, "high": 700.0}, None, None, None), strict=True)
        )
    ]
    lines = written(queue_table(waiting, width), width)
    assert any("12 runs  in 100 s to 12 min" in line for line in lines)
    assert sum("start unknown" in line for line in lines) == 3
    assert all(any(one.id in line for line in lines) for one in waiting)


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("names", [METRICS, ("a_long_name_of_a_metric", *METRICS, "test_loss")])
def test_the_labels_of_curves_never_vanish(width: int, names: tuple[str, ...]) -> None:
    points: dict[int, dict[str, Any]] = {
        0: {"model.width": 10},
        1: {"policy": {"name": "top_k_all_bottoms", "rho": 0.1}},
    }
    items = [
        {"point": point, "name": name, "step": step, "statistic": statistic(-1.2345e-5 * step)}
        for point in points
        for name in names
        for step in range(1, 60)
    ]
    lines = written(curves_table(AggregatedMetrics(items=items), points, names, width), width)
    assert [sum(line.startswith(start) for line in lines) for start in ("width 10", "policy")] == [
        1,
        1,
    ]
    text = "\n".join(lines)
    assert text.count("-0.0007284") == len(points) * len(names), "the last value of each curve"
    curves = ["".join(one for one in line if one in BLOCKS) for line in lines]
    assert sum(len(one) >= 8 for one in curves) >= len(points)


def statistic(mean: float) -> dict[str, Any]:
    return {"mean": mean, "standard_error": None, "ci95": None, "n": 1}


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("width 10", 8, "width 10"),
        ("width 100", 8, "widt…100"),
        ("幅幅幅幅", 5, "幅…幅"),
        ("a\nb", 3, "a b"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_a_text_that_is_too_long_keeps_its_two_ends(text: str, width: int, shown: str) -> None:
    assert shorten(text, width) == shown
