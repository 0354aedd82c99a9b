"""What the API knows of plug-ins and of described nets: what workers stored in the database."""

from __future__ import annotations

import threading
from collections import OrderedDict

from api.background.cached_value import CachedValue
from engine.data.spec import DatasetInfo
from engine.errors import ModelRejected
from engine.models.host import NetNotDescribed
from engine.models.layer_layout import LayerLayout
from engine.models.plugin_models import PluginModels
from engine.models.spec import DescribedSpec, PluginSpec
from storage.database.engine import Database
from storage.nets.described import find_net, key_of
from storage.nets.plugins import read_listings

LISTING_SECONDS = 1.0
"""How old the listing of plug-ins may be"""
KEPT_NETS = 1_000
"""Descriptions kept in memory, the most recently used ones"""


class StoredNets:
    """The host of an API process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._listing = CachedValue(self._read_listing, LISTING_SECONDS)
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[LayerLayout, ...]] = OrderedDict()

    def list_plugin_models(self, source: str | None = None) -> PluginModels:
        return self._listing.get()

    def _read_listing(self) -> PluginModels:
        with self._db.read() as session:
            return read_listings(session)

    def describe(self, model: DescribedSpec, info: DatasetInfo) -> tuple[LayerLayout, ...]:
        key = key_of(model, info)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._db.read() as session:
            found = find_net(session, key)
        if found is not None and found.error is not None:
            raise ModelRejected(found.error)
        if found is None or found.layers is None:
            self._require_code(model)
            raise NetNotDescribed(model, info)
        with self._lock:
            self._kept[key] = found.layers
            if len(self._kept) > KEPT_NETS:
                self._kept.popitem(last=False)
        return found.layers

    def _require_code(self, model: DescribedSpec) -> None:
        """Raises ModelRejected for a net of a plug-in whose code no worker has."""
        if isinstance(model, PluginSpec):
            known = self.list_plugin_models().models.get(model.name)
            if known is None or known.source != model.source:
                raise ModelRejected(
                    f"the code of the net {model.name!r} has changed since the submission or is "
                    f"gone: no worker offers it as {model.source}; submit again without `source`, "
                    "or bring the old code back"
                )
