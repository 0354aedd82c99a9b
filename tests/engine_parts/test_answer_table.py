"""Tables of answers as text, LaTeX, Markdown and CSV, equal to texts written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from engine.answer_table import AnswerTable, tabulate_answers
from engine.answers import make_column
from engine.epoch_answers import answer_at, describe_at, read_at
from engine.experiments.registry import kinds
from engine.findings import describe_findings
from engine.tables import TextColumn, TextTable, escape_latex, to_csv, to_latex, to_markdown


def statistic(mean: float, error: float | None = 0.01, n: int = 3) -> dict[str, Any]:
    interval = None if not error else [mean - 0.04, mean + 0.04]
    return {"mean": mean, "standard_error": error, "ci95": interval, "n": n}


def make_table(*, title: str = "widths & 50 %", **changes: Any) -> AnswerTable:
    """Two widths; `changes` alter the second point."""
    points: list[dict[str, Any]] = [
        {"point": {"model.width": 10}, "seeds": [0, 1, 2], "outcome": "trained"},
        {"point": {"model.width": 1000}, "seeds": [0, 1, 2], "outcome": "trained", **changes},
    ]
    answers = [
        [
            make_column("test_accuracy", value=statistic(0.5), better="higher"),
            make_column("train_loss", value=None if index else statistic(1.5, 0.25)),
            make_column("absent_in_all"),
        ]
        for index in range(2)
    ]
    return tabulate_answers(title, points, answers)


def test_latex_is_a_table_of_booktabs_whose_caption_tells_n_and_the_error() -> None:
    assert (
        to_latex(make_table().to_text())
        == r"""% \usepackage{booktabs}
\begin{table}
  \centering
  \caption{widths \& 50 \%. Mean $\pm$ one standard error over seeds (n = 3).}
  \label{tab:widths-50}
  \begin{tabular}{rrr}
    \toprule
    width & test accuracy (\%) & train loss \\
    \midrule
    10 & 50.0 $\pm$ 1.0 & 1.50 $\pm$ 0.25 \\
    1,000 & 50.0 $\pm$ 1.0 & -- \\
    \bottomrule
  \end{tabular}
\end{table}
"""
    )


def test_markdown_tells_outcomes_and_numbers_of_seeds_that_differ() -> None:
    table = make_table(seeds=[0, 1], outcome="at_chance", title="a|b_c")
    assert (
        to_markdown(table.to_text())
        == r"""**a\|b\_c**

| width | test accuracy (%) | train loss | n | outcome |
| ---: | ---: | ---: | ---: | --- |
| 10 | 50.0 ± 1.0 | 1.50 ± 0.25 | 3 | trained |
| 1,000 | 50.0 ± 1.0 | – | 2 | at chance |

- Mean ± one standard error over seeds (n = 2–3)
- Of test accuracy, n = 3
- At chance: some seed's trained net is no better than guessing
"""
    )


def test_csv_holds_every_digit_and_no_formula() -> None:
    numbers = make_table().to_numbers()
    numbers["points"][0]["model.width"] = {"name": "relu_net", "widths": [1, 2]}
    numbers["points"][1]["model.width"] = "=1+1"
    numbers["columns"].remove("train_loss")
    assert (
        to_csv(numbers)
        == """model.width,test_accuracy,test_accuracy_standard_error,test_accuracy_ci95_low,\
test_accuracy_ci95_high,test_accuracy_n,seeds,outcome
"{""name"": ""relu_net"", ""widths"": [1, 2]}",0.5,0.01,0.46,0.54,3,3,trained
'=1+1,0.5,0.01,0.46,0.54,3,3,trained
"""
    )


def test_numbers_tell_title_unit_and_which_value_is_better() -> None:
    numbers = make_table().to_numbers()
    assert numbers["columns"] == ["model.width", "test_accuracy", "train_loss", "seeds", "outcome"]
    assert numbers["describe"]["test_accuracy"] == {
        "title": "test accuracy",
        "unit": "accuracy",
        "better": "higher",
    }


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (
            r"\input{x} $a_b^c$ 50% #1 & ~",
            r"\textbackslash{}input\{x\} \$a\_b\textasciicircum{}c\$"
            r" 50\% \#1 \& \textasciitilde{}",
        ),
        ("[0, 1] *", "{[}0, 1] {*}"),
        ("-0.5 to 1e-05, layer-wise", "$-$0.5 to 1e-05, layer-wise"),
        ("a\n\\\\ b", r"a \textbackslash{}\textbackslash{} b"),
        ("α = 1 – 2 ± 3 × 4…", r"$\alpha$ = 1 -- 2 $\pm$ 3 $\times$ 4\ldots{}"),
    ],
)
def test_text_is_escaped_for_latex(text: str, escaped: str) -> None:
    assert escape_latex(text) == escaped


def test_groups_of_columns_have_a_heading_with_a_rule() -> None:
    columns = [
        TextColumn("", "policy", is_text=True),
        TextColumn("Ours", "a"),
        TextColumn("Ours", "b"),
        TextColumn("Paper", "a", is_text=True, is_long=True),
    ]
    table = TextTable("", columns, [["full", "1", "2", "3"]], ["† not trained."])
    assert r"""  \caption{\dag{} not trained.}
  \label{tab:result}
  \begin{tabular}{lrrp{0.4\linewidth}}
    \toprule
     & \multicolumn{2}{c}{Ours} & \multicolumn{1}{c}{Paper} \\
    \cmidrule(lr){2-3} \cmidrule(lr){4-4}
    policy & a & b & a \\
    \midrule
""" in to_latex(table)
    assert to_markdown(table).splitlines()[0] == "| policy | Ours: a | Ours: b | Paper: a |"


def test_times_of_seeds_that_trained_together_are_told_as_one_measurement() -> None:
    point = {"point": {}, "seeds": [0, 1, 2], "outcome": "trained"}
    column = make_column("train_seconds", "time to train", statistic(1.0, None, 1))
    table = tabulate_answers("", [point], [[column]], ["Some runs have not finished"])
    assert table.describe() == [
        "Some runs have not finished",
        "Mean ± one standard error over seeds (n = 3)",
        "Of time to train, n = 1: seeds that trained together are one measurement",
    ]
    assert table.to_text().rows == [["1"]]


def find(kind: str, accuracies: dict[int, dict[str, Any]], outcome: str = "trained") -> list[str]:
    """The findings of one swept width, the last of which has the outcome."""
    points = [
        {
            "point": {"model.width": width} if len(accuracies) > 1 else {},
            "seeds": [0, 1, 2],
            "outcome": outcome if width == max(accuracies) else "trained",
            "test_accuracy": found,
            "initial_test_accuracy": found,
            "train_loss": None,
            "timings": {"train_seconds": found},
        }
        for width, found in accuracies.items()
    ]
    answers = [kinds()[kind].read_answer(point) for point in points]
    return describe_findings(tabulate_answers("", points, answers))


def test_a_finding_tells_value_interval_and_n() -> None:
    assert find("train", {1: statistic(0.5)}) == [
        "Test accuracy: 50.0 % (95 % interval 46.0 to 54.0, n = 3)."
    ]
    assert find("train", {1: statistic(0.5, 0.0)}) == ["Test accuracy: 50 % (no spread, n = 3)."]
    assert find("train", {1: statistic(0.5, None, 1)}, "not_finite") == [
        "Test accuracy: 50 % (n = 1).",
        "Not finite: some seed's train loss became NaN or infinite.",
    ]


def test_a_finding_of_two_points_tells_their_difference_with_welch_s_interval() -> None:
    # t = 2.776 with 4 degrees of freedom; 2.776 * 100 * sqrt(2) * 0.01 = 3.9
    assert find("train", {10: statistic(0.75), 20: statistic(0.5)}) == [
        "Test accuracy: from 50.0 % (95 % interval 46.0 to 54.0, n = 3) at width 20 to 75.0 % "
        "(95 % interval 71.0 to 79.0, n = 3) at width 10; the difference is 25.0 points "
        "(95 % interval 21.1 to 28.9, n = 3)."
    ]


def test_a_finding_of_more_points_tells_the_extremes_and_who_is_at_chance() -> None:
    accuracies = {width: statistic(width / 100) for width in (10, 30, 20)}
    assert find("train", accuracies, "at_chance") == [
        "Test accuracy: from 10.0 % (95 % interval 6.0 to 14.0, n = 3) at width 10 to 30.0 % "
        "(95 % interval 26.0 to 34.0, n = 3) at width 30, over 3 points.",
        "1 of 3 points at chance (width 30): some seed's trained net is no better than guessing.",
    ]
    equal = {width: statistic(0.5, 0.0) for width in (1, 2, 3)}
    assert find("train", equal) == ["Test accuracy: 50 % (no spread, n = 3) at each of 3 points."]


METRICS: dict[str, dict[int, list[tuple[int, float | None]]]] = {
    "test_accuracy": {0: [(0, 0.1), (1, 0.5), (2, 0.5), (3, 0.25)], 1: [(0, 0.1), (3, 0.75)]},
    "train_loss": {0: [(1, 1.0), (2, None), (3, 0.5)], 1: [(1, 2.0), (2, 1.0), (3, 0.25)]},
}


@pytest.mark.parametrize(
    ("text", "epoch", "accuracy", "loss"),
    [
        ("best", (2.0, 2), (0.625, 2), (0.625, 2)),
        ("last", (3.0, 2), (0.5, 2), (0.375, 2)),
        ("2", (2.0, 1), (0.5, 1), None),
        ("9", None, None, None),
    ],
)
def test_metrics_at_an_epoch_are_those_of_each_seed(
    text: str, epoch: Any, accuracy: Any, loss: Any
) -> None:
    """Of equal accuracies the first is the best; a loss that is not finite is left out."""
    found = {
        column.name: column.statistic and (column.statistic.mean, column.statistic.n)
        for column in answer_at(read_at(text), METRICS)
    }
    assert found == {"epoch": epoch, "test_accuracy": accuracy, "train_loss": loss}


def test_the_choice_of_the_best_epoch_is_told_as_optimistic() -> None:
    assert "chosen on the test data: such values are optimistic" in describe_at("best")
    assert describe_at(7) == "At epoch 7"


def test_a_wide_table_spans_both_columns_of_a_paper_and_a_wider_one_is_small() -> None:
    for letters, begin, is_small in (
        (3, "table", False),
        (10, "table*", False),
        (40, "table*", True),
    ):
        columns = [TextColumn("", "x" * letters)] * 5
        latex = to_latex(TextTable("Width", columns, [["1"] * 5], []))
        assert f"\\begin{{{begin}}}\n" in latex
        assert latex.endswith(f"\\end{{{begin}}}\n")
        assert (r"\footnotesize" in latex) == is_small
