"""Table 1 as text: our numbers beside the published ones. Imports neither torch nor matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.tables import TextColumn, TextTable

OURS = "Ours"
PUBLISHED = "Published (VGG-11, CIFAR-10)"
Cell = Callable[[Mapping[str, Any]], str]
Column = tuple[TextColumn, Cell]


def tabulate(numbers: Mapping[str, Any]) -> TextTable:
    """One row per point; published columns only where some row has published numbers."""
    rows = numbers["points"]
    columns = _choose_columns(rows)
    return TextTable(
        title=numbers["title"],
        columns=[column for column, _ in columns],
        rows=[[cell(row) for _, cell in columns] for row in rows],
        notes=[
            *_list_notes(rows),
            *(f"Departs from the paper: {line}." for line in numbers["departures"]),
        ],
    )


def _list_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return ["No results yet."]
    notes = [
        f"Ours: mean ± one standard error of {_seed_counts(rows)} seeds. Differences and ratios "
        "are to Full with the same setting; total ratio is of the full training time. A ratio is "
        "the mean of one ratio a measurement."
    ]
    if any(_differs_from_xavier(row) for row in rows):
        notes.append("To Xavier: the difference to Full from Xavier initialisation, as published.")
    if _has_published(rows):
        notes.append(
            "Published: differences are to the full net from Xavier initialisation; ratios are of "
            "mean times; times on an NVIDIA Tesla K40m."
        )
    if any(row["outcome"] != "trained" for row in rows):
        notes.append("† not trained.")
    return notes


def _seed_counts(rows: Sequence[Mapping[str, Any]]) -> str:
    counts = sorted({row["n"] for row in rows})
    return "–".join(map(str, (counts[0], counts[-1])[: len(counts)]))


def _has_published(rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(row["published_test_accuracy"] is not None for row in rows)


def _choose_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    columns: list[Column] = [(TextColumn("", "Policy", is_text=True), _policy)]
    if any(row["setting"] for row in rows):
        columns.append((TextColumn("", "Setting", is_text=True), _setting))
    columns += [
        (TextColumn(OURS, "Accuracy (%)"), _statistic("test_accuracy", 100, 2, dagger=True)),
        (TextColumn(OURS, "Difference"), _statistic("difference", 100, 2, sign=True)),
    ]
    if any(_differs_from_xavier(row) for row in rows):
        columns.append(
            (
                TextColumn(OURS, "To Xavier"),
                _statistic("difference_to_xavier", 100, 2, sign=True),
            )
        )
    columns += [
        (TextColumn(OURS, "Backward (s)"), _statistic("backward_seconds", 1, 2)),
        (TextColumn(OURS, "Ratio"), _mean("backward_ratio")),
        (TextColumn(OURS, "Total ratio"), _mean("train_ratio")),
    ]
    if _has_published(rows):
        columns += [
            (TextColumn(PUBLISHED, "Accuracy (%)"), _published("test_accuracy", "{:.2f}", 100)),
            (TextColumn(PUBLISHED, "Difference"), _published("difference", "{:+.2f}", 100)),
            (TextColumn(PUBLISHED, "Backward (s)"), _published("backward_seconds", "{:.2f}", 1)),
            (TextColumn(PUBLISHED, "Ratio"), _published("backward_ratio", "{:.2f}", 1)),
        ]
    return columns


def _differs_from_xavier(row: Mapping[str, Any]) -> bool:
    """Whether the published difference is to another full net than ours."""
    found = row["difference_to_xavier"]
    return found is not None and found != row["difference"]


def _policy(row: Mapping[str, Any]) -> str:
    return str(row["policy"])


def _setting(row: Mapping[str, Any]) -> str:
    return str(row["setting"])


def _statistic(
    name: str, scale: float, digits: int, *, sign: bool = False, dagger: bool = False
) -> Cell:
    def write(row: Mapping[str, Any]) -> str:
        statistic = row[name]
        if statistic is None:
            return "–"
        text = f"{scale * statistic['mean']:{'+' if sign else ''}.{digits}f}"
        if statistic["standard_error"] is not None:
            text += f" ± {scale * statistic['standard_error']:.{digits}f}"
        return text + (" †" if dagger and row["outcome"] != "trained" else "")

    return write


def _mean(name: str) -> Cell:
    return lambda row: "–" if row[name] is None else f"{row[name]['mean']:.2f}"


def _published(name: str, template: str, scale: float) -> Cell:
    def write(row: Mapping[str, Any]) -> str:
        value = row[f"published_{name}"]
        return "–" if value is None else template.format(scale * value)

    return write
