"""The kind `sparse_train`: train a net in which only a share of the parameters may move."""

from engine.experiments.sparse_train.answer import answer, expect, tell
from engine.experiments.sparse_train.presets import presets
from engine.experiments.sparse_train.result import (
    SparseTrainPointResult,
    SparseTrainSeedResult,
    summarize_points,
)
from engine.experiments.sparse_train.spec import SparseTrainSpec
from engine.kind import Kind, PlotInfo

KIND = Kind(
    name="sparse_train",
    title="Sparse training",
    description=(
        "Train with all parameters, then again from the same start where only a share of them may "
        "move and all others keep their initial values. Measures test accuracy against the share, "
        "by the mask that chooses it."
    ),
    spec=SparseTrainSpec,
    seed_result=SparseTrainSeedResult,
    point_result=SparseTrainPointResult,
    summarize=summarize_points,
    plots=(
        PlotInfo(
            "accuracy_by_share",
            "Test accuracy against the share that may move",
            "One line per mask with one standard error; dotted, the training with all parameters.",
            is_answer=True,
        ),
    ),
    run_path="engine.experiments.sparse_train.run:run",
    plots_path="engine.experiments.sparse_train.plots",
    answer=answer,
    tell=tell,
    expect=expect,
    question="How few parameters need to move?",
    example={
        "spec": {
            "kind": "sparse_train",
            "data": {"name": "digits", "train_size": 1000, "test_size": 500},
            "epochs": 5,
            "shares_percent": [1, 3, 10, 30, 100],
        },
        "seeds": [0, 1, 2],
    },
    presets=presets,
)
