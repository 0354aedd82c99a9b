"""Convert experiment rows to the resource that the API returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlmodel import Session

from engine.experiment_titles import title_of
from engine.spec import Execution
from schemas.resources import Experiment, Progress, QueuePosition
from schemas.seed_plan import read_seed_plan
from schemas.status import ExperimentStatus, RunStatus
from schemas.submission import Keep
from storage.access.ownership import ALL_OWNERS
from storage.database.engine import as_utc, database_now
from storage.database.tables import ExperimentRow, RunRow
from storage.runs.claim_order import OwnerQueue, count_ahead, list_owner_queues
from storage.runs.placement import Needs
from storage.runs.waiting import AbsentWorkers, why_waiting
from storage.runs.work_left import WORK_COLUMNS, StartTimes, Work, seconds_left
from storage.runs.workers import count_absent, count_offered, slots_by_device_class

LINKED = ("runs", "events", "metrics", "result", "comparison", "plots", "export", "cancel")
RUN = RunRow.__table__
# Built once, from table columns: building a statement takes longer than SQLite needs to execute it.
# The ids bound to them are of experiments that the session sees.
_COUNTS = (
    select(
        RUN.c.experiment_id,
        RUN.c.status,
        func.count(),
        func.sum(RUN.c.progress_completed),
        func.sum(RUN.c.progress_total),
        func.max(RUN.c.progress_unit),
        *WORK_COLUMNS,
    )
    .where(RUN.c.experiment_id.in_(bindparam("ids", expanding=True)))
    .group_by(RUN.c.experiment_id, RUN.c.status)
)
_NEEDS = (
    select(
        RUN.c.experiment_id, RUN.c.device_class, RUN.c.memory_bytes, RUN.c.requires, func.count()
    )
    .where(
        RUN.c.experiment_id.in_(bindparam("ids", expanding=True)), RUN.c.status == RunStatus.QUEUED
    )
    .group_by(RUN.c.experiment_id, RUN.c.device_class, RUN.c.memory_bytes, RUN.c.requires)
)


def to_resource(
    session: Session,
    row: ExperimentRow,
    *,
    reused: bool = False,
    limit_per_owner: int | None = None,
) -> Experiment:
    """One experiment as a resource; see `to_resources`."""
    return to_resources(session, [row], reused=reused, limit_per_owner=limit_per_owner)[0]


def to_new_resource(
    session: Session,
    row: ExperimentRow,
    needs: Sequence[Needs],
    *,
    limit_per_owner: int | None = None,
) -> Experiment:
    """An experiment that was just stored with runs of these needs, without reading its rows.

    When it starts is left open: that would read all queued runs.
    """
    counts = (RunStatus.QUEUED, len(needs), 0.0, 0.0, "")
    return _assemble_all(
        session,
        [row],
        {row.id: [counts]},
        {row.id: Counter(needs)},
        limit_per_owner,
        with_start_times=False,
    )[0]


def to_resources(
    session: Session,
    rows: Sequence[ExperimentRow],
    *,
    reused: bool = False,
    limit_per_owner: int | None = None,
) -> list[Experiment]:
    """Experiments as resources, in a fixed number of queries.

    limit_per_owner: most concurrent runs of one owner, to report where runs wait because of it.
    """
    counts: dict[str, list[Any]] = {row.id: [] for row in rows}
    for entry in session.execute(_COUNTS, {"ids": list(counts)}, execution_options=ALL_OWNERS):
        counts[entry[0]].append(entry[1:])
    needs: dict[str, dict[Needs, int]] = {row.id: {} for row in rows if not row.status.is_terminal}
    if needs:
        found = session.execute(_NEEDS, {"ids": list(needs)}, execution_options=ALL_OWNERS)
        for experiment_id, *needed, number in found:
            needs[experiment_id][Needs(*needed)] = number
    return _assemble_all(session, rows, counts, needs, limit_per_owner, reused)


def _assemble_all(
    session: Session,
    rows: Sequence[ExperimentRow],
    counts: Mapping[str, Sequence[Any]],
    needs: Mapping[str, Mapping[Needs, int]],
    limit_per_owner: int | None,
    reused: bool = False,
    with_start_times: bool = True,
) -> list[Experiment]:
    """By experiment: counts, rows of `_COUNTS`; needs, the number of queued runs by their needs."""
    failures = _first_failures(
        session, [row.id for row in rows if row.status is ExperimentStatus.FAILED]
    )
    active = [row for row in rows if not row.status.is_terminal]
    waiting = any(row.status is ExperimentStatus.QUEUED for row in active)
    owner_queues = (
        list_owner_queues(session) if waiting or (active and limit_per_owner is not None) else []
    )
    offered = count_offered(session)
    absent = count_absent(session) if active and not offered else AbsentWorkers()
    start_times = (
        StartTimes(session, offered, owner_queues) if waiting and with_start_times else None
    )
    now = database_now(session)
    found = []
    for row in rows:
        its_needs, is_queued = needs.get(row.id, {}), row.status is ExperimentStatus.QUEUED
        reason = why_waiting(its_needs, offered, absent) or _describe_owner_limit(
            row, counts[row.id], owner_queues, limit_per_owner
        )
        queue = QueuePosition(
            runs_ahead=count_ahead(session, row.id, row.owner, owner_queues) if is_queued else 0,
            workers_listening=sum(slots_by_device_class(offered).values()),
            reason=reason,
            starts_in_seconds=start_times.estimate(row.id, row.owner, its_needs)
            if start_times is not None and is_queued and its_needs and not reason
            else None,
        )
        failure = failures.get(row.id)
        found.append(_assemble(row, counts[row.id], failure, queue, now, reused))
    return found


def _describe_owner_limit(
    row: ExperimentRow,
    counts: Sequence[Any],
    owner_queues: Sequence[OwnerQueue],
    limit_per_owner: int | None,
) -> str | None:
    """Why runs wait where their owner has reached its limit of concurrent runs."""
    number = next((count for status, count, *_ in counts if status is RunStatus.QUEUED), 0)
    running = next((queue.running for queue in owner_queues if queue.owner == row.owner), 0)
    if not number or limit_per_owner is None or running < limit_per_owner:
        return None
    runs = f"{number} runs wait" if number > 1 else "1 run waits"
    return (
        f"{runs}: the owner has {running} running, and limit_running_per_owner is {limit_per_owner}"
    )


def _count_outcomes(row: ExperimentRow) -> dict[str, int]:
    points = (row.readable("summary") or {}).get("points", ())
    return dict(Counter(str(point["outcome"]) for point in points if "outcome" in point))


def _assemble(
    row: ExperimentRow,
    run_counts: Sequence[Any],
    failure: RunRow | None,
    queue: QueuePosition,
    now: datetime,
    reused: bool,
) -> Experiment:
    counts = dict.fromkeys(RunStatus, 0)
    counts |= {status: number for status, number, *_ in run_counts}
    return Experiment(
        id=row.id,
        owner=row.owner or None,
        kind=row.kind,
        name=row.name,
        title=title_of(row.name, row.kind, row.readable("spec"), row.readable("sweep")),
        labels=row.readable("labels"),
        priority=row.priority,
        status=row.status,
        terminal=row.status.is_terminal,
        reason=failure.error_code if failure else None,
        detail=failure.error_detail if failure else None,
        progress=_sum_progress(row, run_counts, now),
        queue=queue,
        counts=counts,
        num_points=row.num_points,
        outcomes=_count_outcomes(row),
        seeds=row.readable("seeds"),
        seed_plan=read_seed_plan(row.readable("seed_plan")),
        sweep=row.readable("sweep"),
        spec=row.readable("spec"),
        claims=row.readable("claims"),
        execution=Execution.model_validate(row.readable("execution")),
        max_seconds=row.max_seconds,
        keep=Keep(row.keep),
        digest=row.digest,
        reused=reused,
        imported_from=row.imported_from,
        notes=row.notes,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        unreadable=row.unreadable,
        links=_links(row.id),
    )


def _sum_progress(row: ExperimentRow, run_counts: Sequence[Any], now: datetime) -> Progress:
    """The progress of all runs, and the time left (`seconds_left`).

    Where a run has no estimate, the time left is extrapolated from the mean fraction.
    """
    num_runs, fractions, completed, total, unit = 0, 0.0, 0.0, 0.0, ""
    work, numbers = dict[RunStatus, Work](), dict[RunStatus, int]()
    for status, number, done, of, its_unit, *its_work in run_counts:
        work[status], numbers[status] = Work(*its_work), number
        num_runs += number
        fractions += (
            number if status is RunStatus.SUCCEEDED else (number * done / of if of else 0.0)
        )
        completed, total, unit = completed + done, total + of, its_unit or unit
    fraction = min(1.0, fractions / num_runs) if num_runs else 0.0
    started, eta = as_utc(row.started_at), None
    if started is not None and not row.status.is_terminal:
        eta = seconds_left(work, numbers.get(RunStatus.RUNNING, 0))
        if eta is None and fraction > 0.01:
            eta = (now - started).total_seconds() * (1 - fraction) / fraction
    return Progress(fraction=fraction, completed=completed, total=total, unit=unit, eta_seconds=eta)


def _links(experiment_id: str) -> dict[str, str]:
    base = f"/experiments/{experiment_id}"
    return {"self": base, **{name: f"{base}/{name}" for name in LINKED}}


def _first_failures(session: Session, ids: Sequence[str]) -> dict[str, RunRow]:
    if not ids:
        return {}
    query = (
        select(RunRow)
        .where(RunRow.experiment_id.in_(ids), RunRow.status == RunStatus.FAILED)
        .order_by(RunRow.finished_at.desc(), RunRow.id.desc())
    )
    return {row.experiment_id: row for row in session.scalars(query)}
