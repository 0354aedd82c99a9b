"""The kind `lws`: layer-wise sparse SGD trains only some layers in each epoch (Section 6)."""

from engine.experiments.lws.answer import answer, expect
from engine.experiments.lws.presets import presets
from engine.experiments.lws.published import list_published
from engine.experiments.lws.result import LwsPointResult, LwsSeedResult, summarize_points
from engine.experiments.lws.spec import LwsSpec
from engine.kind import Kind, PlotInfo

KIND = Kind(
    name="lws",
    title="Layer-wise sparse SGD",
    description=(
        "Train only some layers in each epoch, always the same or drawn for each epoch. Compares "
        "accuracy, back-propagation time and total time with training every layer."
    ),
    spec=LwsSpec,
    seed_result=LwsSeedResult,
    point_result=LwsPointResult,
    summarize=summarize_points,
    plots=(
        PlotInfo(
            "accuracy_bars",
            "Test accuracy by policy",
            "Mean and one standard error over seeds, the full net as a line (Figures 7 and 10).",
            most_points=None,
        ),
        PlotInfo(
            "backward_bars",
            "Back-propagation time by policy",
            "Seconds inside backward over the whole training (Figures 8 and 11).",
            most_points=None,
        ),
        PlotInfo(
            "error_against_backward_time",
            "Test error against back-propagation time",
            "One marker per point, its size shows rho; nearer the origin is better (Figures 9 and "
            "22).",
            draws_all=True,
            most_points=16,
            is_answer=True,
        ),
        PlotInfo(
            "error_against_train_time",
            "Test error against full training time",
            "The same with load, forward, optimiser and cache added (Figure 12).",
            draws_all=True,
        ),
        PlotInfo(
            "error_curves",
            "Error over back-propagation time",
            "Train and test error after each epoch against the back-propagation time spent so far "
            "(Figure 23).",
        ),
        PlotInfo(
            "table",
            "Accuracy, difference, time and ratio",
            "One row per point, with the published numbers where the point is in Table 1; also as "
            "HTML and CSV.",
            table_path="engine.experiments.lws.table_text:tabulate",
            view="table",
            draws_all=True,
        ),
    ),
    run_path="engine.experiments.lws.run:run",
    judge_path="engine.experiments.lws.judge:judge",
    list_published=list_published,
    plots_path="engine.experiments.lws.plots",
    answer=answer,
    expect=expect,
    question="What does it cost to train only some layers?",
    example={
        "spec": {
            "kind": "lws",
            "data": {"name": "digits", "train_size": 1000, "test_size": 500},
            "model": {"name": "conv_net", "width": 8, "depth": 2},
            "epochs": 4,
        },
        "sweep": {"policy": [{"name": "full"}, {"name": "top_k_all_bottoms", "k": 1, "rho": 0.25}]},
        "seeds": [0, 1, 2],
    },
    presets=presets,
)
