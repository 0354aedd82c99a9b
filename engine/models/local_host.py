"""The host of a process with torch: it reads plug-ins and traces nets itself."""

from __future__ import annotations

from pathlib import Path

from engine.data.spec import DatasetInfo
from engine.errors import ModelRejected
from engine.models.host import NetHost, set_net_host
from engine.models.layer_layout import LayerLayout
from engine.models.plugin_files import PluginFile, list_plugin_files
from engine.models.plugin_loading import LoadedModel, LoadedPlugins, load_plugins
from engine.models.plugin_models import PluginModels
from engine.models.spec import DescribedSpec, PluginSpec


class LocalHost:
    """The plug-ins of a folder and of installed distributions, read at the first use."""

    def __init__(self, plugins_dir: Path | None = None) -> None:
        self._plugins_dir = plugins_dir
        self._loaded: dict[str | None, LoadedPlugins] = {}
        """By the identity of the only code that ran; None for all"""
        self._files: tuple[PluginFile, ...] = ()
        """Of the folder when it was read"""

    def list_plugin_models(self, source: str | None = None) -> PluginModels:
        """With a source, no other code runs: another plug-in may hang or end this process."""
        return self._load(source).describe()

    def describe(self, model: DescribedSpec, info: DatasetInfo) -> tuple[LayerLayout, ...]:
        from engine.models.traced.build import describe_net

        return describe_net(model, info).layers

    def find_plugin(self, model: PluginSpec) -> LoadedModel:
        """The plug-in's net with the code that the spec names; no other code runs.

        Raises ModelRejected.
        """
        loaded = self._load(model.source)
        found = loaded.models.get(model.name)
        if found is not None:
            return found
        reasons = [
            f"{one.origin}: {one.message}"
            for one in loaded.problems
            if one.name in (None, model.name)
        ]
        why = "; ".join(reasons) or f"looked in {self._plugins_dir} and installed distributions"
        if model.source is None:
            raise ModelRejected(f"no plug-in here offers the net {model.name!r} ({why})")
        raise ModelRejected(
            f"the code of the net {model.name!r} has changed since the submission or is gone: no "
            f"plug-in here offers it as {model.source} ({why}); submit again, or bring the old "
            "code back"
        )

    def _load(self, source: str | None = None) -> LoadedPlugins:
        """All plug-ins or those of one code, read again when a file of the folder has changed."""
        files = list_plugin_files(self._plugins_dir)
        if files != self._files:
            self._loaded, self._files = {}, files
        if source not in self._loaded:
            self._loaded[source] = load_plugins(self._plugins_dir, source=source)
        return self._loaded[source]


def use_local_host(plugins_dir: Path | None = None) -> NetHost:
    """Let this process read plug-ins and trace nets; returns the host before."""
    return set_net_host(LocalHost(plugins_dir))
