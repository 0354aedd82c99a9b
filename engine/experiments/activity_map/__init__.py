"""The kind `activity_map`: how often a parameter has one of the largest gradients (Section 5)."""

from engine.experiments.activity_map.answer import answer, expect
from engine.experiments.activity_map.presets import presets
from engine.experiments.activity_map.result import (
    ActivityMapPointResult,
    ActivityMapSeedResult,
    summarize_points,
)
from engine.experiments.activity_map.spec import ActivityMapSpec
from engine.kind import Kind, PlotInfo

KIND = Kind(
    name="activity_map",
    title="Activity map",
    description=(
        "Count in how many epochs each parameter has one of the largest gradients over the train "
        "set. Shows where in the net the active parameters are, and each layer's share of them."
    ),
    spec=ActivityMapSpec,
    seed_result=ActivityMapSeedResult,
    point_result=ActivityMapPointResult,
    summarize=summarize_points,
    plots=(
        PlotInfo(
            "activity_map",
            "Activity map",
            "One rectangle per layer from blue (never active) to red (active in every epoch); each "
            "bin shows its mean (Figures 5, 6 and 17 to 20).",
            view="heatmap",
            is_answer=True,
        ),
        PlotInfo(
            "activity_map_max",
            "Activity map of the most active",
            "The same, but each bin shows its most active parameter.",
            view="heatmap",
        ),
        PlotInfo(
            "layer_shares",
            "Shares of the active set by layer",
            "Mean and one standard error over seeds; a tick marks the layer's share of all "
            "parameters.",
        ),
        PlotInfo(
            "concentration",
            "Concentration by layer",
            "Share of the active set over share of the parameters; 1 by chance.",
        ),
    ),
    run_path="engine.experiments.activity_map.run:run",
    plots_path="engine.experiments.activity_map.plots",
    judge_path="engine.experiments.activity_map.judge:judge",
    answer=answer,
    expect=expect,
    question="Where do the active parameters sit?",
    example={
        "spec": {
            "kind": "activity_map",
            "data": {"name": "digits", "train_size": 1000, "test_size": 500},
            "model": {"name": "relu_net", "depth": 4},
            "epochs": 4,
        },
        "sweep": {"model.width": [30, 100]},
        "seeds": [0, 1, 2],
    },
    presets=presets,
)
