"""Load the kinds of plug-ins from the entry points `richregime.kinds`. Imports no torch."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from engine.kind import Kind

GROUP = "richregime.kinds"


class PluginBroken(Exception):
    """An installed kind cannot be used; the message says which and why."""


def load_plugin_kinds() -> list[Kind]:
    """The kinds of other distributions, sorted by name.

    Raises PluginBroken: a broken kind is not skipped, as its stored experiments would be
    unreadable.
    """
    return [
        _load(entry) for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    ]


def _load(entry: EntryPoint) -> Kind:
    distribution = entry.dist.name if entry.dist is not None else "an unknown distribution"
    where = f"the kind {entry.name!r} of {distribution} ({entry.value})"
    try:
        kind = entry.load()
    except Exception as error:
        raise PluginBroken(
            f"{where} cannot be loaded: {error!r}; repair or uninstall it"
        ) from error
    if not isinstance(kind, Kind):
        raise PluginBroken(
            f"{where} is a {type(kind).__name__}, not an engine.kind.Kind; repair or uninstall it"
        )
    if kind.name != entry.name:
        raise PluginBroken(f"{where} has the name {kind.name!r}; both names must be equal")
    return kind
