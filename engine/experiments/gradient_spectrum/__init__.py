"""The kind `gradient_spectrum`: few components of a stochastic gradient are large (Figure 1)."""

from engine.experiments.gradient_spectrum.answer import answer, expect
from engine.experiments.gradient_spectrum.presets import presets
from engine.experiments.gradient_spectrum.result import (
    SpectrumPointResult,
    SpectrumSeedResult,
    summarize_points,
)
from engine.experiments.gradient_spectrum.spec import GradientSpectrumSpec
from engine.kind import Kind, PlotInfo

KIND = Kind(
    name="gradient_spectrum",
    title="Gradient spectrum",
    description=(
        "Sort the magnitudes of a mini-batch gradient's components at chosen steps of a training. "
        "Measures the share of the norm that the largest components hold."
    ),
    spec=GradientSpectrumSpec,
    seed_result=SpectrumSeedResult,
    point_result=SpectrumPointResult,
    summarize=summarize_points,
    plots=(
        PlotInfo(
            "spectrum",
            "Sorted gradient components",
            "Magnitudes in descending order, one line per step, on linear axes with the elbow "
            "enlarged (Figure 1) and on logarithmic axes.",
            is_answer=True,
        ),
        PlotInfo(
            "share_of_norm",
            "Share of the squared norm",
            "Share of the gradient's squared norm that the largest components hold, one line per "
            "step.",
        ),
    ),
    run_path="engine.experiments.gradient_spectrum.run:run",
    judge_path="engine.experiments.gradient_spectrum.judge:judge",
    plots_path="engine.experiments.gradient_spectrum.plots",
    answer=answer,
    expect=expect,
    question="How few components hold the gradient?",
    example={
        "spec": {
            "kind": "gradient_spectrum",
            "data": {"name": "digits", "train_size": 1000, "test_size": 500},
            "epochs": 4,
            "steps": [1, 8, 32],
        },
        "seeds": [0, 1, 2],
    },
    presets=presets,
)
