"""Table 1 as a drawing: our numbers, and the published ones beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.plotting import PlotOptions, new_figure

ROW_INCHES = 0.235
PUBLISHED = "Published (VGG-11, CIFAR-10)"
Cell = Callable[[Mapping[str, Any]], str]


def draw_table(numbers: Mapping[str, Any], options: PlotOptions) -> Figure:
    """A row a point; published columns only where some row has a published counterpart."""
    rows = numbers["points"]
    columns = _columns(rows)
    widths = [width for _, _, width, _ in columns]
    figure = new_figure(options, 0.4 + sum(widths), 1.3 + ROW_INCHES * len(rows))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(0, sum(widths)), ylim=(len(rows) + 1.1, -2.4))
    axes.set_title(numbers["title"])
    right_edges = [sum(widths[: index + 1]) for index in range(len(widths))]
    _draw_header(axes, columns, right_edges)
    for place, row in enumerate(rows):
        if place % 2:
            axes.axhspan(place, place + 1, color="#f4f4f4", linewidth=0)
        for (_, _, width, cell), right in zip(columns, right_edges, strict=True):
            _write(axes, cell(row), right, width, place + 0.5, is_text=cell in (_policy, _setting))
    axes.axhline(len(rows), color="black", linewidth=1.0)
    note = f"Ours: mean ± one standard error of {_seed_counts(rows)} seeds. Differences and ratios are to Full; total ratio is of the full training time."
    if any(row["published_test_accuracy"] is not None for row in rows):
        note += " Published differences are to Full from Xavier."
    if any(row["outcome"] == "diverged" for row in rows):
        note += " † diverged."
    axes.text(0.06, len(rows) + 0.6, note, ha="left", va="center", fontsize=7, color="#666666")
    return figure


def _seed_counts(rows: list[Mapping[str, Any]]) -> str:
    counts = sorted({row["n"] for row in rows})
    return "–".join(map(str, (counts[0], counts[-1])[: len(counts)]))


def _columns(rows: list[Mapping[str, Any]]) -> list[tuple[str, str, float, Cell]]:
    """(group, heading, width in inches, cell) from left to right."""
    columns: list[tuple[str, str, float, Cell]] = [("", "Policy", 2.1, _policy)]
    if any(row["setting"] for row in rows):
        longest = max(len(row["setting"]) for row in rows)
        columns.append(("", "Setting", 0.3 + 0.07 * longest, _setting))
    columns += [
        ("Ours", "Accuracy (%)", 1.15, _statistic("test_accuracy", 100, 2, dagger=True)),
        ("Ours", "Difference", 1.15, _statistic("difference", 100, 2, sign=True)),
        ("Ours", "Backward (s)", 1.2, _statistic("backward_seconds", 1, 2)),
        ("Ours", "Ratio", 0.6, _mean("backward_ratio")),
        ("Ours", "Total ratio", 0.85, _mean("train_ratio")),
    ]
    if any(row["published_test_accuracy"] is not None for row in rows):
        columns += [
            (PUBLISHED, "Accuracy (%)", 1.1, _published("test_accuracy", "{:.2f}", 100)),
            (PUBLISHED, "Difference", 0.9, _published("difference", "{:+.2f}", 100)),
            (PUBLISHED, "Ratio", 0.7, _published("backward_ratio", "{:.2f}", 1)),
        ]
    return columns


def _draw_header(axes: Axes, columns: list[tuple[str, str, float, Cell]], right_edges: list[float]) -> None:
    for (_, heading, width, cell), right in zip(columns, right_edges, strict=True):
        _write(axes, heading, right, width, -0.55, is_text=cell in (_policy, _setting), weight="bold")
    for group in ("Ours", PUBLISHED):
        members = [index for index, column in enumerate(columns) if column[0] == group]
        if members:
            left = right_edges[members[0]] - columns[members[0]][2] + 0.15
            right = right_edges[members[-1]]
            axes.plot([left, right], [-1.1, -1.1], color="black", linewidth=0.6)
            axes.text((left + right) / 2, -1.55, group, ha="center", va="center", fontsize=8.5, weight="bold")
    axes.axhline(-2.1, color="black", linewidth=1.0)
    axes.axhline(-0.05, color="black", linewidth=0.8)


def _write(
    axes: Axes, text: str, right: float, width: float, y: float, *, is_text: bool, weight: str = "normal"
) -> None:
    x, align = (right - width + 0.06, "left") if is_text else (right - 0.04, "right")
    axes.text(x, y, text, ha=align, va="center", fontsize=8, weight=weight)


def _policy(row: Mapping[str, Any]) -> str:
    return str(row["policy"])


def _setting(row: Mapping[str, Any]) -> str:
    return str(row["setting"])


def _statistic(name: str, scale: float, digits: int, *, sign: bool = False, dagger: bool = False) -> Cell:
    def write(row: Mapping[str, Any]) -> str:
        statistic = row[name]
        if statistic is None:
            return "–"
        text = f"{scale * statistic['mean']:{'+' if sign else ''}.{digits}f}"
        if statistic["standard_error"] is not None:
            text += f" ± {scale * statistic['standard_error']:.{digits}f}"
        return text + (" †" if dagger and row["outcome"] == "diverged" else "")

    return write


def _mean(name: str) -> Cell:
    return lambda row: "–" if row[name] is None else f"{row[name]['mean']:.2f}"


def _published(name: str, form: str, scale: float) -> Cell:
    def write(row: Mapping[str, Any]) -> str:
        value = row[f"published_{name}"]
        return "–" if value is None else form.format(scale * value)

    return write
