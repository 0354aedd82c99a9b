"""The cards of an experiment's page that show its cost and what was reused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.web.formatting import format_bytes, format_seconds
from api.web.result_tables import format_elapsed
from schemas.resources import Experiment, Run

Card = tuple[str, str, str]
"""(name, value, note)"""


def cost_cards(
    experiment: Experiment, runs: Sequence[Run], summary: Mapping[str, Any] | None, num_bytes: int
) -> list[Card]:
    """Time, attempts, reuse and storage.

    runs: all runs of the experiment, or the first ones; times and attempts are theirs.
    num_bytes: size of its stored files.
    """
    elapsed = sum(run.elapsed_seconds or 0.0 for run in runs)
    devices = sorted({run.device for run in runs if run.device})
    total = experiment.num_points * len(experiment.seeds)
    reused = len(summary["reused"]) if summary else None
    longest = max((run.elapsed_seconds or 0.0 for run in runs), default=0.0)
    interrupted = sum(run.interruptions for run in runs)
    return [
        ("Device time", format_seconds(elapsed), ", ".join(devices)),
        ("From start to end", format_elapsed(experiment) or "not finished", ""),
        ("Longest run", format_seconds(longest), ""),
        ("Trainings", f"{total:,}", "points × seeds"),
        ("Reused trainings", "–" if reused is None else f"{reused:,}", "from earlier runs"),
        (
            "Attempts",
            f"{sum(run.attempts for run in runs):,}",
            f"of {len(runs):,} runs, {interrupted} interrupted",
        ),
        ("Stored files", format_bytes(num_bytes), "checkpoints and artifacts"),
    ]
