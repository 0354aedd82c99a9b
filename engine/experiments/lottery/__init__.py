"""The kind `lottery`: prune a trained net by magnitude, rewind what is left, and train it again."""

from engine.experiments.lottery.answer import answer, expect, tell
from engine.experiments.lottery.presets import presets
from engine.experiments.lottery.result import (
    LotteryPointResult,
    LotterySeedResult,
    summarize_points,
)
from engine.experiments.lottery.spec import LotterySpec
from engine.kind import Kind, PlotInfo

KIND = Kind(
    name="lottery",
    title="Lottery ticket",
    description=(
        "Train, prune the smallest weights, set the others back to the initial or an early net, "
        "and train again, round by round. Measures test accuracy against the share of the weights "
        "that is left, beside a fresh draw and a random mask."
    ),
    spec=LotterySpec,
    seed_result=LotterySeedResult,
    point_result=LotteryPointResult,
    summarize=summarize_points,
    plots=(
        PlotInfo(
            "accuracy_by_weights_left",
            "Test accuracy against the share of the weights that is left",
            "Ticket, fresh draw and random mask with one standard error; dotted, the whole net.",
            is_answer=True,
        ),
    ),
    run_path="engine.experiments.lottery.run:run",
    plots_path="engine.experiments.lottery.plots",
    answer=answer,
    tell=tell,
    expect=expect,
    question="Does a pruned net need its initial weights?",
    example={
        "spec": {
            "kind": "lottery",
            "data": {"name": "digits", "train_size": 1000, "test_size": 500},
            "epochs": 5,
            "rounds": 3,
            "prune_percent": 60,
        },
        "seeds": [0, 1, 2],
    },
    presets=presets,
)
