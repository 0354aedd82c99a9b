"""The kind `connectivity`: does the order of the examples decide what a net learns?

Errors on the line between copies of a net that train in other orders (arXiv 1912.05671).
"""

from engine.experiments.connectivity.answer import answer, expect, tell
from engine.experiments.connectivity.presets import presets
from engine.experiments.connectivity.result import (
    ConnectivityPointResult,
    ConnectivitySeedResult,
    summarize_points,
)
from engine.experiments.connectivity.spec import ConnectivitySpec, needs_layers
from engine.kind import Kind, PlotInfo

KIND = Kind(
    name="connectivity",
    title="Linear mode connectivity",
    description=(
        "Train copies of a net from chosen steps on in other orders of the examples. Measures the "
        "error on the line between them: how far it rises is the instability (arXiv 1912.05671)."
    ),
    spec=ConnectivitySpec,
    seed_result=ConnectivitySeedResult,
    point_result=ConnectivityPointResult,
    summarize=summarize_points,
    plots=(
        PlotInfo(
            "instability",
            "Instability by split",
            "How far the error rises on the line, against the step k after which the copies part; "
            "one line per point with one standard error. Below the dotted line a net is stable.",
            is_answer=True,
        ),
        PlotInfo(
            "line_error",
            "Error along the line",
            "From child 1 to another child, one line per split and one panel per point; the train "
            "error is paler.",
        ),
        PlotInfo(
            "layer_instability",
            "Instability of each layer",
            "Only one layer moves along the line, the others stay at child 1; one panel per point.",
            find_obstacle=needs_layers,
        ),
    ),
    run_path="engine.experiments.connectivity.run:run",
    plots_path="engine.experiments.connectivity.plots",
    answer=answer,
    expect=expect,
    tell=tell,
    question="From when on does the order of the examples not matter?",
    example={
        "spec": {
            "kind": "connectivity",
            "data": {"name": "digits", "train_size": 1000, "test_size": 500},
            "model": {"name": "relu_net", "width": 32, "depth": 2},
            "optimizer": {"name": "adam", "lr": 0.005},
            "epochs": 8,
            "batch_size": 50,
            "splits": {"steps": [0, 3, 10, 30]},
            "points": 11,
        },
        "seeds": [0, 1, 2],
    },
    presets=presets,
)
