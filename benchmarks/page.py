"""Writes docs/reference/performance.md from measured JSON, and prints the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEADER = """# Performance

Every figure is a ratio to its stated baseline, or a time where no baseline is fair. Both are
measured in one interleaved run after a warm-up. A figure is the median over the rounds, with its
quartiles. `python -m benchmarks all` measures; `python -m benchmarks page` writes this page.
"""
TITLES = {
    "relu_seeds": "Five seeds of a ReLU-Net",
    "strong_script": "Five seeds against a strong user's script",
    "busy_machine": "Beside busy programs",
    "optimizations": "Effect of each optimization",
    "lws": "Layer-wise sparse SGD",
    "sweep": "Re-initialisation sweeps",
    "activity": "Activity maps",
    "precision": "bf16 and memory formats",
    "service": "The service",
    "pages": "Commands and pages",
    "hostile_owner": "One hostile key",
    "peers": "Comparison with MLflow",
    "cost": "Preview estimates",
    "scaling": "Scaling of cost",
    "memory": "Memory of the processes",
    "gpu": "GPU: recorded steps",
    "gpu_layers": "GPU: layer-wise sparse SGD",
    "gpu_sweep": "GPU: re-initialisation sweep",
    "gpu_precision": "GPU: tf32 and bf16",
    "gpu_memory": "GPU: memory",
}


def write_page(document: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    parts = [HEADER, _describe(document["machine"], document["data"])]
    missed = [
        f"- {figure['name']}: {show(figure)}; the goal is {show_goal(figure)}"
        for figures in document["figures"].values()
        for figure in figures
        if figure["is_met"] is False
    ]
    goals = sum(
        figure["goal"] is not None for figures in document["figures"].values() for figure in figures
    )
    parts.append(
        f"{goals - len(missed)} of {goals} goals are met." + (" Not met:\n" if missed else "\n")
    )
    if missed:
        parts.append("\n".join(missed) + "\n")
    unmeasured = [title for name, title in TITLES.items() if name not in document["figures"]]
    if unmeasured:
        parts.append(f"Not measured: {', '.join(unmeasured)}.\n")
    for name, figures in document["figures"].items():
        if figures:
            parts.append(
                f"## {TITLES[name]}\n\n"
                f"{_describe_conditions(document['measured'][name])}{_markdown(figures)}"
            )
    return "\n".join(parts)


def _describe(machine: Mapping[str, Any], data: str) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
    load = ", ".join(f"{value:.2f}" for value in machine["load_average"])
    gpus = ", ".join(machine["gpus"]) or "none"
    return (
        f"Measured {machine['measured_at']} on {machine['cores']} cores of {machine['processor']} "
        f"({machine['cpu_capability']}), {machine['memory_gib']} GiB, GPU: {gpus}; "
        f"load average at the start {load}; {machine['threads']} threads; "
        f"data: {data}.\n{machine['platform']}; {versions}.\n"
    )


def _describe_conditions(conditions: Mapping[str, Any]) -> str:
    return (
        f"Measured {conditions['measured_at'][:16]}, {conditions['threads']} threads, "
        f"load average at the start {conditions['load_average'][0]:.2f}.\n\n"
    )


def _markdown(figures: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| what | baseline | measured | quartiles | goal | best possible |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for figure in figures:
        mark = {True: " ✓", False: " ✗", None: ""}[figure["is_met"]]
        note = f" ({figure['note']})" if figure["note"] else ""
        cells = (
            figure["name"] + note,
            figure["baseline"],
            show(figure),
            _quartiles(figure),
            show_goal(figure) + mark,
            figure["limit"],
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def show(figure: Mapping[str, Any]) -> str:
    """The median with its unit."""
    return f"{number(figure['value']['median'])} {figure['unit']}"


def show_goal(figure: Mapping[str, Any]) -> str:
    goal = figure["goal"]
    if goal is None:
        return ""
    return f"{'≥' if goal['relation'] == 'at least' else '≤'} {goal['value']:g}"


def _quartiles(figure: Mapping[str, Any]) -> str:
    value = figure["value"]
    return f"{number(value['low'])} to {number(value['high'])}" if value["n"] > 1 else ""


def number(value: float) -> str:
    """With three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def print_figure(figure: Mapping[str, Any]) -> None:
    """Print one line of the table."""
    mark = {True: "met", False: "MISSED", None: ""}[figure["is_met"]]
    quartiles = f"[{_quartiles(figure)}]" if _quartiles(figure) else ""
    print(
        f"  {figure['name']:<64} {show(figure):>18} {quartiles:<20} "
        f"{show_goal(figure):<8} {mark:<7}"
        f"{'to ' + figure['baseline'] if figure['baseline'] else ''}",
        flush=True,
    )
