"""The kind `reinit_sweep`: reset the parameters that moved most in training, or all others.

Measures the test accuracy that is left (paper, Section 4).
"""

from engine.experiments.reinit_sweep.answer import answer, expect
from engine.experiments.reinit_sweep.presets import presets
from engine.experiments.reinit_sweep.result import (
    ReinitPointResult,
    ReinitSeedResult,
    summarize_points,
)
from engine.experiments.reinit_sweep.spec import ReinitSweepSpec, needs_mode_layer
from engine.kind import Kind, PlotInfo

KIND = Kind(
    name="reinit_sweep",
    title="Re-initialisation sweep",
    description=(
        "Train, then reset the gamma % of the parameters that moved most to their initial values "
        "(active), or all but the epsilon % that moved most (lazy). Measures test accuracy against "
        "gamma and epsilon."
    ),
    spec=ReinitSweepSpec,
    seed_result=ReinitSeedResult,
    point_result=ReinitPointResult,
    summarize=summarize_points,
    plots=(
        PlotInfo(
            "curves_log",
            "Test accuracy against gamma and epsilon, logarithmic",
            "Active on the left, lazy on the right; one line per point with one standard error. "
            "The axis includes 0 (Figures 2(a), 3(a), 14).",
            is_answer=True,
        ),
        PlotInfo(
            "curves_linear",
            "Test accuracy against gamma and epsilon, linear",
            "The same with a linear axis (Figures 2(b), 3(b), 15).",
        ),
        PlotInfo(
            "accuracy_bars",
            "Accuracy of the net that is reset to and of the trained net",
            "One stacked bar per point, as in Figures 4 and 16.",
            most_points=None,
        ),
        PlotInfo(
            "layer_robustness",
            "Test accuracy with one layer reset",
            "Mode `layer`: a row for each layer, a column for each point, such as each value of "
            "`reset_to`.",
            default=False,
            view="heatmap",
            find_obstacle=needs_mode_layer,
            most_points=None,
        ),
    ),
    judge_path="engine.experiments.reinit_sweep.judge:judge",
    run_path="engine.experiments.reinit_sweep.run:run",
    plots_path="engine.experiments.reinit_sweep.plots",
    answer=answer,
    expect=expect,
    question="Which parameters does a trained net need?",
    example={
        "spec": {
            "kind": "reinit_sweep",
            "data": {"name": "digits", "train_size": 1000, "test_size": 500},
            "epochs": 5,
            "fractions_percent": [0, 0.1, 1, 3, 10, 30, 100],
        },
        "sweep": {"model.width": [10, 100]},
        "seeds": [0, 1, 2],
    },
    presets=presets,
)
