"""The kind `train`: train a net, log its loss and accuracy, store theta_0 and theta_T."""

from engine.experiments.train.answer import answer
from engine.experiments.train.presets import presets
from engine.experiments.train.result import TrainPointResult, TrainSeedResult, summarize_points
from engine.experiments.train.spec import TrainSpec
from engine.kind import Kind, PlotInfo

KIND = Kind(
    name="train",
    title="Training",
    description=(
        "Train every parameter of a net. Logs train loss and test accuracy by epoch; stores "
        "theta_0 and theta_T."
    ),
    spec=TrainSpec,
    seed_result=TrainSeedResult,
    point_result=TrainPointResult,
    summarize=summarize_points,
    plots=(
        PlotInfo(
            "learning_curve",
            "Learning curve",
            "Test accuracy and train loss by epoch, mean and one standard error over seeds.",
        ),
        PlotInfo(
            "accuracy_bars",
            "Accuracy at initialisation and at convergence",
            "One stacked bar per point, as in Figure 4.",
            most_points=None,
        ),
        PlotInfo(
            "timings",
            "Where the time goes",
            "Seconds of each part of training, one bar per point.",
            most_points=None,
        ),
        PlotInfo(
            "architecture",
            "Architecture",
            "The layers of each net with parameter counts, as in Figure 13.",
            default=False,
        ),
    ),
    judge_path="engine.experiments.train.judge:judge",
    run_path="engine.experiments.train.run:run",
    plots_path="engine.experiments.train.plots",
    answer=answer,
    question="How well does a net learn, and how fast?",
    example={"spec": {"kind": "train", "epochs": 3}, "seeds": [0, 1, 2]},
    presets=presets,
)
