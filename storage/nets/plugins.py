"""The nets of plug-ins that the workers of each host have read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from pydantic import TypeAdapter
from sqlalchemy import delete, select
from sqlmodel import Session

from engine.models.plugin_models import PluginModel, PluginModels, PluginProblem
from storage.database.engine import database_now
from storage.database.json_columns import readable
from storage.database.tables import PluginListingRow

FORGET_DAYS = 30
"""The listing of a host whose workers have not started for so long is deleted"""

_LISTING = TypeAdapter(PluginModels)


def store_listing(session: Session, host: str, listing: PluginModels) -> None:
    """Replace what is known of the host's plug-ins."""
    now = database_now(session)
    old = PluginListingRow.read_at < now - timedelta(days=FORGET_DAYS)
    session.execute(delete(PluginListingRow).where(old | (PluginListingRow.host == host)))
    session.add(
        PluginListingRow(host=host, listing=_LISTING.dump_python(listing, mode="json"), read_at=now)
    )


def read_listings(session: Session) -> PluginModels:
    """All plug-ins' nets; of two hosts that offer one name, the one read last decides."""
    rows = session.execute(select(PluginListingRow).order_by(PluginListingRow.read_at)).scalars()
    return _merge(_LISTING.validate_python(readable(row.listing) or {}) for row in rows)


def _merge(listings: Iterable[PluginModels]) -> PluginModels:
    models: dict[str, PluginModel] = {}
    problems: dict[PluginProblem, None] = {}
    for listing in listings:
        models |= listing.models
        problems |= dict.fromkeys(listing.problems)
    return PluginModels(models, tuple(problems))
