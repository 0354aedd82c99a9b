"""The layers of described nets: ask for them, claim what is wanted, store, find."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import delete, func, or_, select, update
from sqlmodel import Session

from engine.data.spec import DatasetInfo
from engine.models.layer_layout import LayerLayout
from engine.models.spec import DescribedSpec
from engine.spec import sha256_of
from storage.database.engine import database_now
from storage.database.inserting import insert_unless_taken
from storage.database.tables import DescribedNetRow

CLAIM_SECONDS = 180
"""A net claimed that long ago without an answer is claimed again"""
RETRY_SECONDS = 60
"""After how long a net that failed is described again, if it is asked for"""
MAX_WAITING = 2_000
"""Nets that wait for a worker; others can be asked for again when some are described"""
FORGET_DAYS = 30
"""A net without layers that was asked for that long ago is deleted"""

_LAYERS = TypeAdapter(tuple[LayerLayout, ...])


@dataclass(frozen=True, slots=True)
class FoundNet:
    """What is stored of a net: its layers, why it cannot be used, or neither yet."""

    layers: tuple[LayerLayout, ...] | None
    error: str | None


@dataclass(frozen=True, slots=True)
class WantedNet:
    """A net to describe."""

    key: str
    model: dict[str, Any]
    shape: tuple[int, ...]
    num_classes: int


def key_of(model: DescribedSpec, info: DatasetInfo) -> str:
    """The identity of a net for one shape and number of classes."""
    return sha256_of(
        {
            "model": model.model_dump(mode="json"),
            "shape": list(info.shape),
            "num_classes": info.num_classes,
        }
    )


def find_net(session: Session, key: str) -> FoundNet | None:
    """What is stored of the net; None if nobody has asked for it.

    Of a failure that is not recent there is nothing: the net can be asked for again.
    """
    row = session.get(DescribedNetRow, key)
    if row is None:
        return None
    if session.execute(select(DescribedNetRow.key).where(*_failed_long_ago(session, key))).first():
        return FoundNet(None, None)
    layers = None if row.layers is None else _LAYERS.validate_python(row.layers)
    return FoundNet(layers, row.error)


def _failed_long_ago(session: Session, key: str) -> Sequence[Any]:
    retried = database_now(session) - timedelta(seconds=RETRY_SECONDS)
    return (
        DescribedNetRow.key == key,
        DescribedNetRow.error.is_not(None),
        DescribedNetRow.described_at < retried,
    )


def ask_for_nets(session: Session, nets: Iterable[tuple[DescribedSpec, DatasetInfo]]) -> None:
    """Let workers describe the nets, unless their layers are known.

    One that failed is described again if its failure is not recent: what was missing may be there
    now. At most MAX_WAITING nets wait; those beyond are not stored.
    """
    now = database_now(session)
    old = DescribedNetRow.asked_at < now - timedelta(days=FORGET_DAYS)
    session.execute(delete(DescribedNetRow).where(old, DescribedNetRow.layers.is_(None)))
    free = MAX_WAITING - count_waiting_nets(session)
    for model, info in nets:
        if free <= 0:
            return
        free -= _ask(session, model, info, now)


def _ask(session: Session, model: DescribedSpec, info: DatasetInfo, now: datetime) -> bool:
    """Whether the net waits because of this call."""
    key = key_of(model, info)
    row = DescribedNetRow(
        key=key,
        model=model.model_dump(mode="json"),
        shape=list(info.shape),
        num_classes=info.num_classes,
        asked_at=now,
    )
    if insert_unless_taken(session, row):
        return True
    changed = session.execute(
        update(DescribedNetRow)
        .where(*_failed_long_ago(session, key))
        .values(error=None, described_at=None, claimed_at=None, asked_at=now)
    )
    return bool(changed.rowcount)


def count_waiting_nets(session: Session) -> int:
    """How many nets no worker has described yet."""
    waiting = select(func.count()).where(DescribedNetRow.described_at.is_(None))
    return int(session.execute(waiting).scalar_one())


def has_wanted_nets(session: Session, sources: Collection[str]) -> bool:
    """Whether there are nets to describe for a worker with this code of plug-ins."""
    wanted = select(DescribedNetRow.key).where(*_free(session, sources)).limit(1)
    return session.execute(wanted).first() is not None


def claim_net(session: Session, sources: Collection[str]) -> WantedNet | None:
    """The net that has waited longest, claimed for the caller.

    sources: the identities of the code of its plug-ins; nets of other code are left to workers that
    have it.
    """
    now = database_now(session)
    found = session.execute(
        select(DescribedNetRow)
        .where(*_free(session, sources))
        .order_by(DescribedNetRow.asked_at, DescribedNetRow.key)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).scalar_one_or_none()
    if found is None:
        return None
    found.claimed_at = now
    return WantedNet(found.key, dict(found.model), tuple(found.shape), found.num_classes)


def _free(session: Session, sources: Collection[str]) -> Sequence[Any]:
    expired = database_now(session) - timedelta(seconds=CLAIM_SECONDS)
    source = DescribedNetRow.model["source"].as_string()
    return (
        DescribedNetRow.described_at.is_(None),
        or_(DescribedNetRow.claimed_at.is_(None), DescribedNetRow.claimed_at < expired),
        or_(source.is_(None), source.in_(sources)),
    )


def store_net(
    session: Session,
    key: str,
    layers: Sequence[LayerLayout] | None = None,
    error: str | None = None,
) -> None:
    """Store what was found: the layers, or why the net cannot be used."""
    assert (layers is None) != (error is None), "a net has layers, or a reason"
    dumped = None if layers is None else _LAYERS.dump_python(tuple(layers), mode="json")
    session.execute(
        update(DescribedNetRow)
        .where(DescribedNetRow.key == key)
        .values(layers=dumped, error=error, described_at=database_now(session))
    )
