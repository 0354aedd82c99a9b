"""The host of a process with torch: it reads plug-ins and traces nets itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.data.spec import DatasetInfo
from engine.errors import ModelRejected
from engine.models.host import NetHost, set_net_host
from engine.models.layer_layout import LayerLayout
from engine.models.plugin_files import list_plugin_files
from engine.models.plugin_loading import LoadedModel, LoadedPlugins, load_plugins
from engine.models.plugin_models import PluginModels
from engine.models.spec import DescribedSpec, PluginSpec


class LocalHost:
    """The plug-ins of a folder and of installed distributions, read at the first use."""

    def __init__(self, plugins_dir: Path | None = None) -> None:
        self._plugins_dir = plugins_dir
        self._loaded: LoadedPlugins | None = None
        self._files: tuple[Any, ...] = ()
        """Of the folder when it was read"""

    def list_plugin_models(self) -> PluginModels:
        return self._load().describe()

    def describe(self, model: DescribedSpec, info: DatasetInfo) -> tuple[LayerLayout, ...]:
        from engine.models.traced.build import describe_net

        return describe_net(model, info).layers

    def find_plugin(self, model: PluginSpec) -> LoadedModel:
        """The plug-in's net with the code that the spec names. Raises ModelRejected."""
        loaded = self._load()
        found = loaded.models.get(model.name)
        if found is None:
            reasons = [
                f"{one.origin}: {one.message}"
                for one in loaded.problems
                if one.name in (None, model.name)
            ]
            why = "; ".join(reasons) or f"looked in {self._plugins_dir} and installed distributions"
            raise ModelRejected(f"no plug-in here offers the net {model.name!r} ({why})")
        if model.source not in (None, found.described.source):
            raise ModelRejected(
                f"the code of the net {model.name!r} in {found.described.origin} has changed since "
                f"the submission: it was {model.source}, now it is {found.described.source}; "
                "submit again, or bring the old code back"
            )
        return found

    def _load(self) -> LoadedPlugins:
        """All plug-ins, read again when a file of the folder has changed."""
        files = list_plugin_files(self._plugins_dir)
        if self._loaded is None or files != self._files:
            self._loaded, self._files = load_plugins(self._plugins_dir), files
        return self._loaded


def use_local_host(plugins_dir: Path | None = None) -> NetHost:
    """Let this process read plug-ins and trace nets; returns the host before."""
    return set_net_host(LocalHost(plugins_dir))
