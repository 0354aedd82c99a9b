"""Counters and histograms in the database, shared by all processes.

They only grow, and outlive processes and deleted experiments.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from storage.database.tables import CounterRow

SUM = "sum"
"""The bucket that holds the sum of a histogram's values"""
REST = "+Inf"
"""The bucket of values above the last bound"""


class CounterName(StrEnum):
    """The counters; each has one label."""

    LEASES_LOST = "leases_lost"
    """By `expired` (no heartbeat) or `died` (the process was found dead)"""
    WEBHOOK_ATTEMPTS = "webhook_attempts"
    """By `delivered`, `retried` or `failed` (the last attempt failed)"""


class HistogramName(StrEnum):
    """The histograms, in seconds; the label is the device class, `cpu` or `gpu`."""

    CLAIM = "claim"
    """From the submission of a run to its first claim"""
    STEP = "step"
    """The median training step of a succeeded run"""


LABELS: Mapping[CounterName | HistogramName, tuple[str, ...]] = MappingProxyType(
    {
        CounterName.LEASES_LOST: ("expired", "died"),
        CounterName.WEBHOOK_ATTEMPTS: ("delivered", "retried", "failed"),
        HistogramName.CLAIM: ("cpu", "gpu"),
        HistogramName.STEP: ("cpu", "gpu"),
    }
)
BOUNDS: Mapping[HistogramName, tuple[float, ...]] = MappingProxyType(
    {
        HistogramName.CLAIM: (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 43200),
        HistogramName.STEP: (
            0.0005,
            0.001,
            0.0025,
            0.005,
            0.01,
            0.025,
            0.05,
            0.1,
            0.25,
            0.5,
            1,
            2.5,
            10,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class HistogramValues:
    """The values of one label.

    buckets: (upper bound, number of values up to it); the last counts all. total: their sum.
    """

    label: str
    buckets: tuple[tuple[str, float], ...]
    total: float


def increment(session: Session, name: CounterName, label: str) -> None:
    """Add one. Call it last in a transaction: it locks the row of this counter and label."""
    _add(session, [(name, label, "", 1.0)])


def observe(session: Session, name: HistogramName, label: str, seconds: float) -> None:
    """Add one value. Call it last in a transaction, like `increment`."""
    bounds = BOUNDS[name]
    index = bisect_left(bounds, seconds)
    bucket = _name(bounds[index]) if index < len(bounds) else REST
    _add(session, [(name, label, bucket, 1.0), (name, label, SUM, seconds)])


def read_counter(session: Session, name: CounterName) -> dict[str, float]:
    """The value of every label."""
    query = select(CounterRow.label, CounterRow.value).where(CounterRow.name == name)
    found = dict.fromkeys(LABELS[name], 0.0)
    for label, value in session.execute(query):
        found[label] = value
    return found


def read_histogram(session: Session, name: HistogramName) -> list[HistogramValues]:
    """The values of every label."""
    query = select(CounterRow.label, CounterRow.bucket, CounterRow.value).where(
        CounterRow.name == name
    )
    found: dict[str, dict[str, float]] = {label: {} for label in LABELS[name]}
    for label, bucket, value in session.execute(query):
        found.setdefault(label, {})[bucket] = value
    return [_accumulate(name, label, values) for label, values in found.items()]


def _accumulate(name: HistogramName, label: str, values: dict[str, float]) -> HistogramValues:
    count, buckets = 0.0, []
    for bucket in (*map(_name, BOUNDS[name]), REST):
        count += values.get(bucket, 0.0)
        buckets.append((bucket, count))
    return HistogramValues(label, tuple(buckets), values.get(SUM, 0.0))


def _name(bound: float) -> str:
    return f"{bound:g}"


def _add(session: Session, changes: Sequence[tuple[str, str, str, float]]) -> None:
    """Add to the rows in one statement, so that concurrent calls lose nothing."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert: Any = (sqlite if is_sqlite else postgresql).insert(CounterRow)
    values = [
        {"name": str(name), "label": label, "bucket": bucket, "value": value}
        for name, label, bucket, value in changes
    ]
    session.execute(
        insert.values(values).on_conflict_do_update(
            index_elements=["name", "label", "bucket"],
            set_={"value": CounterRow.value + insert.excluded.value},
        )
    )
