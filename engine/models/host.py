"""What this process knows of nets that only torch can describe. Imports no torch.

A worker reads plug-ins and traces nets itself; the API asks the database for what workers found.
Each sets its own host when it starts.
"""

from __future__ import annotations

from typing import Protocol

from engine.data.spec import DatasetInfo
from engine.errors import EngineError
from engine.models.layer_layout import LayerLayout
from engine.models.plugin_models import PluginModels
from engine.models.spec import DescribedSpec


class NetNotDescribed(EngineError):
    """No worker has described the net for this shape and number of classes yet."""

    def __init__(self, model: DescribedSpec, info: DatasetInfo) -> None:
        super().__init__(
            f"the layers of {model.name!r} on {info.name!r} are not known yet; a worker describes "
            "them once, in seconds"
        )
        self.model, self.info = model, info


class NetHost(Protocol):
    """Where descriptions come from."""

    def list_plugin_models(self, source: str | None = None) -> PluginModels:
        """The nets of all plug-ins; with a source, at least those of that code."""
        ...

    def describe(self, model: DescribedSpec, info: DatasetInfo) -> tuple[LayerLayout, ...]:
        """Its layers. Raises NetNotDescribed, or ModelRejected for a net that cannot be used."""
        ...


class NoHost:
    """Of a process that has set none: it knows no plug-ins and no described nets."""

    def list_plugin_models(self, source: str | None = None) -> PluginModels:
        return PluginModels()

    def describe(self, model: DescribedSpec, info: DatasetInfo) -> tuple[LayerLayout, ...]:
        raise NetNotDescribed(model, info)


_host: NetHost = NoHost()


def net_host() -> NetHost:
    """The host of this process."""
    return _host


def set_net_host(host: NetHost) -> NetHost:
    """Set the host of this process; returns the one before."""
    global _host
    before, _host = _host, host
    return before
