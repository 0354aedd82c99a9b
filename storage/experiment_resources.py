"""Experiments as the API answers them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlmodel import Session

from engine.spec import Execution
from schemas.resources import Experiment, Progress, QueuePosition
from schemas.status import ExperimentStatus, RunStatus
from schemas.submission import Keep
from storage.db import as_utc, database_now
from storage.fairness import Standing, count_ahead, list_standings
from storage.fitting import Needs
from storage.tables import ExperimentRow, RunRow
from storage.workers import count_listening, list_offers

# Built once: building a statement takes longer than SQLite needs to answer these.
_TALLIES = (
    select(
        RunRow.experiment_id,
        RunRow.status,
        func.count(),
        func.sum(RunRow.progress_completed),
        func.sum(RunRow.progress_total),
        func.max(RunRow.progress_unit),
    )
    .where(RunRow.experiment_id.in_(bindparam("ids", expanding=True)))
    .group_by(RunRow.experiment_id, RunRow.status)
)


def to_resource(
    session: Session, row: ExperimentRow, *, reused: bool = False, limit_per_owner: int | None = None
) -> Experiment:
    """One experiment as the API answers it."""
    return to_resources(session, [row], reused=reused, limit_per_owner=limit_per_owner)[0]


def to_resources(
    session: Session,
    rows: Sequence[ExperimentRow],
    *,
    reused: bool = False,
    limit_per_owner: int | None = None,
) -> list[Experiment]:
    """Experiments as the API answers them, in a fixed number of queries. limit_per_owner: runs that one owner may have
    under way, to say where it is what others wait for."""
    ids = [row.id for row in rows]
    tallies: dict[str, list[Any]] = {experiment_id: [] for experiment_id in ids}
    for entry in session.execute(_TALLIES, {"ids": ids}):
        tallies[entry[0]].append(entry[1:])
    failures = _first_failures(session, [row.id for row in rows if row.status is ExperimentStatus.FAILED])
    active = [row for row in rows if not row.status.is_terminal]
    waiting = any(row.status is ExperimentStatus.QUEUED for row in active)
    standings = list_standings(session) if waiting or (active and limit_per_owner is not None) else []
    misfits = _find_misfits(session, [row.id for row in active])
    listening = count_listening(session)
    now = database_now(session)
    return [
        _assemble(
            row,
            tallies[row.id],
            failures.get(row.id),
            QueuePosition(
                runs_ahead=count_ahead(session, row.id, row.owner, standings)
                if row.status is ExperimentStatus.QUEUED
                else 0,
                workers_listening=sum(listening.values()),
                reason=misfits.get(row.id) or _find_held(row, tallies[row.id], standings, limit_per_owner),
            ),
            now,
            reused,
        )
        for row in rows
    ]


_NEEDS = (
    select(RunRow.experiment_id, func.count(), RunRow.queue, RunRow.memory_bytes, RunRow.requires)
    .where(RunRow.experiment_id.in_(bindparam("ids", expanding=True)), RunRow.status == RunStatus.QUEUED)
    .group_by(RunRow.experiment_id, RunRow.queue, RunRow.memory_bytes, RunRow.requires)
    .order_by(RunRow.memory_bytes.desc())
)


def _find_misfits(session: Session, ids: Sequence[str]) -> dict[str, str]:
    """By experiment, what its waiting runs need that no worker has which listens."""
    offers = list_offers(session) if ids else set()
    if not offers:
        return {}
    found: dict[str, str] = {}
    for experiment_id, number, *needed in session.execute(_NEEDS, {"ids": ids}):
        needs = Needs(*needed)
        if not any(offered.fits(needs) for offered in offers):
            runs = f"{number} of its runs wait" if number > 1 else "a run of it waits"
            found.setdefault(
                experiment_id, f"{runs} for a worker that fits ({needs.describe()}); none that listens does"
            )
    return found


def _find_held(
    row: ExperimentRow, tally: Sequence[Any], standings: Sequence[Standing], limit_per_owner: int | None
) -> str | None:
    """What is said where runs of it wait as their owner has as many under way as it may."""
    number = next((count for status, count, *_ in tally if status is RunStatus.QUEUED), 0)
    under_way = next((one.running for one in standings if one.owner == row.owner), 0)
    if not number or limit_per_owner is None or under_way < limit_per_owner:
        return None
    runs = f"{number} of its runs wait" if number > 1 else "a run of it waits"
    return f"{runs}: its owner has {under_way} under way, and limit_running_per_owner is {limit_per_owner}"


def _assemble(
    row: ExperimentRow,
    tally: Sequence[Any],
    failure: RunRow | None,
    queue: QueuePosition,
    now: datetime,
    reused: bool,
) -> Experiment:
    counts = dict.fromkeys(RunStatus, 0)
    fractions, completed, total, unit = 0.0, 0.0, 0.0, ""
    for status, count, done, of, its_unit in tally:
        counts[status] = count
        fractions += count if status is RunStatus.SUCCEEDED else (count * done / of if of else 0.0)
        completed, total, unit = completed + done, total + of, its_unit or unit
    num_runs = sum(counts.values())
    terminal = row.status.is_terminal
    fraction = min(1.0, fractions / num_runs) if num_runs else 0.0
    started = as_utc(row.started_at)
    eta = None
    if started is not None and not terminal and fraction > 0.01:
        eta = (now - started).total_seconds() * (1 - fraction) / fraction
    base = f"/experiments/{row.id}"
    return Experiment(
        id=row.id,
        owner=row.owner or None,
        kind=row.kind,
        name=row.name,
        labels=row.readable("labels"),
        priority=row.priority,
        status=row.status,
        terminal=terminal,
        reason=failure.error_code if failure else None,
        detail=failure.error_detail if failure else None,
        progress=Progress(fraction=fraction, completed=completed, total=total, unit=unit, eta_seconds=eta),
        queue=queue,
        counts=counts,
        num_points=row.num_points,
        seeds=row.readable("seeds"),
        sweep=row.readable("sweep"),
        spec=row.readable("spec"),
        execution=Execution.model_validate(row.readable("execution")),
        max_seconds=row.max_seconds,
        keep=Keep(row.keep),
        digest=row.digest,
        reused=reused,
        imported_from=row.imported_from,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        unreadable=row.unreadable,
        links={
            "self": base,
            **{
                name: f"{base}/{name}"
                for name in ("runs", "events", "metrics", "result", "comparison", "plots", "export", "cancel")
            },
        },
    )


def _first_failures(session: Session, ids: Sequence[str]) -> dict[str, RunRow]:
    if not ids:
        return {}
    query = (
        select(RunRow)
        .where(RunRow.experiment_id.in_(ids), RunRow.status == RunStatus.FAILED)
        .order_by(RunRow.finished_at.desc(), RunRow.id.desc())
    )
    return {row.experiment_id: row for row in session.scalars(query)}
