"""The layers of described nets: ask for them, claim what is wanted, store, find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import or_, select, update
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
    """What is stored of the net; None if nobody has asked for it."""
    row = session.get(DescribedNetRow, key)
    if row is None:
        return None
    layers = None if row.layers is None else _LAYERS.validate_python(row.layers)
    return FoundNet(layers, row.error)


def ask_for_net(session: Session, model: DescribedSpec, info: DatasetInfo) -> None:
    """Let a worker describe the net, unless its layers are known.

    One that failed is described again if its failure is not recent: what was missing may be there
    now.
    """
    key, now = key_of(model, info), database_now(session)
    row = DescribedNetRow(
        key=key,
        model=model.model_dump(mode="json"),
        shape=list(info.shape),
        num_classes=info.num_classes,
        asked_at=now,
    )
    if not insert_unless_taken(session, row):
        session.execute(
            update(DescribedNetRow)
            .where(
                DescribedNetRow.key == key,
                DescribedNetRow.error.is_not(None),
                DescribedNetRow.described_at < now - timedelta(seconds=RETRY_SECONDS),
            )
            .values(error=None, described_at=None, claimed_at=None, asked_at=now)
        )


def has_wanted_nets(session: Session) -> bool:
    """Whether a worker should describe nets."""
    return (
        session.execute(select(DescribedNetRow.key).where(*_free(session)).limit(1)).first()
        is not None
    )


def claim_net(session: Session) -> WantedNet | None:
    """The net that has waited longest, claimed for the caller."""
    now = database_now(session)
    found = session.execute(
        select(DescribedNetRow)
        .where(*_free(session))
        .order_by(DescribedNetRow.asked_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).scalar_one_or_none()
    if found is None:
        return None
    found.claimed_at = now
    return WantedNet(found.key, dict(found.model), tuple(found.shape), found.num_classes)


def _free(session: Session) -> Sequence[Any]:
    expired = database_now(session) - timedelta(seconds=CLAIM_SECONDS)
    return (
        DescribedNetRow.described_at.is_(None),
        or_(DescribedNetRow.claimed_at.is_(None), DescribedNetRow.claimed_at < expired),
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
