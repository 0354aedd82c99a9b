"""What an experiment has cost, and what it was spared, as cards of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.web.result_tables import show_seconds, show_took
from api.web.templating import show_bytes
from schemas.resources import Experiment, Run

Card = tuple[str, str, str]
"""(name, value, note)"""


def cost_cards(
    experiment: Experiment, runs: Sequence[Run], summary: Mapping[str, Any] | None, num_bytes: int
) -> list[Card]:
    """Time, attempts, reuse and storage. `runs`: all of them, or the first so many."""
    elapsed = sum(run.elapsed_seconds or 0.0 for run in runs)
    devices = sorted({run.device for run in runs if run.device})
    total = experiment.num_points * len(experiment.seeds)
    reused = len(summary["reused"]) if summary else None
    longest = max((run.elapsed_seconds or 0.0 for run in runs), default=0.0)
    interrupted = sum(run.interruptions for run in runs)
    return [
        ("Device time", show_seconds(elapsed), ", ".join(devices)),
        ("From start to end", show_took(experiment) or "under way", ""),
        ("Longest run", show_seconds(longest), ""),
        ("Trainings", f"{total:,}", "points × seeds"),
        (
            "Runs loaded from",
            "–" if reused is None else f"{reused:,}",
            "whose trainings were not repeated",
        ),
        (
            "Attempts",
            f"{sum(run.attempts for run in runs):,}",
            f"of {len(runs):,} runs, {interrupted} interrupted",
        ),
        ("Files kept", show_bytes(num_bytes), "checkpoints and artifacts"),
    ]
