"""Counts that only grow, whoever counts: kept in the database, so that they are one number however many processes there
are, and outlive them and the experiments that they were read_counter at."""

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
"""The bucket in which a distribution's values are added up"""
REST = "+Inf"
"""The bucket of what is above all bounds"""


class CounterName(StrEnum):
    """What is read_counter; each by one label."""

    LEASES_LOST = "leases_lost"
    """By `expired` (its worker was silent) or `died` (its process was seen to be dead)"""
    WEBHOOK_ATTEMPTS = "webhook_attempts"
    """By `delivered`, `retried` or `failed` (given up)"""


class HistogramName(StrEnum):
    """What is read_histogram, in seconds; each by the class of device, `cpu` or `gpu`."""

    CLAIM = "claim"
    """From the submission of a run to its first claim"""
    STEP = "step"
    """The median training step of a run that has succeeded"""


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
    """buckets: (upper bound, how many are at most that); the last has all."""

    label: str
    buckets: tuple[tuple[str, float], ...]
    total: float


def increment(session: Session, what: CounterName, label: str) -> None:
    """One more. Last in its transaction: others who count the same wait until it is over."""
    _add(session, [(what, label, "", 1.0)])


def observe(session: Session, what: HistogramName, label: str, seconds: float) -> None:
    """One value more. Last in its transaction, as `count`."""
    bounds = BOUNDS[what]
    place = bisect_left(bounds, seconds)
    bucket = _name(bounds[place]) if place < len(bounds) else REST
    _add(session, [(what, label, bucket, 1.0), (what, label, SUM, seconds)])


def read_counter(session: Session, what: CounterName) -> dict[str, float]:
    """By label, none left out."""
    query = select(CounterRow.label, CounterRow.value).where(CounterRow.name == what)
    found = dict.fromkeys(LABELS[what], 0.0)
    for label, value in session.execute(query):
        found[label] = value
    return found


def read_histogram(session: Session, what: HistogramName) -> list[HistogramValues]:
    """One a label, none left out."""
    query = select(CounterRow.label, CounterRow.bucket, CounterRow.value).where(
        CounterRow.name == what
    )
    found: dict[str, dict[str, float]] = {label: {} for label in LABELS[what]}
    for label, bucket, value in session.execute(query):
        found.setdefault(label, {})[bucket] = value
    return [_accumulate(what, label, values) for label, values in found.items()]


def _accumulate(what: HistogramName, label: str, values: dict[str, float]) -> HistogramValues:
    so_far, buckets = 0.0, []
    for name in (*map(_name, BOUNDS[what]), REST):
        so_far += values.get(name, 0.0)
        buckets.append((name, so_far))
    return HistogramValues(label, tuple(buckets), values.get(SUM, 0.0))


def _name(bound: float) -> str:
    return f"{bound:g}"


def _add(session: Session, parts: Sequence[tuple[str, str, str, float]]) -> None:
    """In one statement, so that two who count at once lose nothing."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert: Any = (sqlite if is_sqlite else postgresql).insert(CounterRow)
    values = [
        {"name": str(name), "label": label, "bucket": bucket, "value": value}
        for name, label, bucket, value in parts
    ]
    session.execute(
        insert.values(values).on_conflict_do_update(
            index_elements=["name", "label", "bucket"],
            set_={"value": CounterRow.value + insert.excluded.value},
        )
    )
