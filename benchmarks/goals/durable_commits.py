"""What a commit costs that SQLite brings to the disk before it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.interleave import interleave, share, timed
from benchmarks.options import Options
from runtime.settings import Settings
from schemas.audit import Action
from storage.access.audit import record
from storage.database.engine import Database

COMMITS = 200


def measure_durable_commits(options: Options, home: Path) -> Iterator[Figure]:
    """Commits of one row each, as the submissions, and without the write to the disk."""
    db = Database(Settings(home=home, database_url=None).resolved_database_url)

    def commits(*, durable: bool) -> Callable[[], None]:
        def commit() -> None:
            for number in range(COMMITS):
                with db.write(durable=durable) as session:
                    record(session, Action.CHANGED, str(number))

        return commit

    candidates = {"durable": timed(commits(durable=True)), "not": timed(commits(durable=False))}
    seconds = interleave(candidates, options.rounds(9))
    db.dispose()
    figure = share(
        "a commit that is on the disk before it returns (submissions, ends of runs)",
        seconds["durable"],
        seconds["not"],
        baseline="a commit that a loss of power may undo (metrics, heartbeats)",
        note=f"{COMMITS} commits of one row",
    )
    assert figure.ours_seconds is not None
    assert figure.baseline_seconds is not None
    added = (figure.ours_seconds - figure.baseline_seconds) / COMMITS * 1e3
    yield replace(figure, note=f"{figure.note}; {added:.2f} ms more each")
