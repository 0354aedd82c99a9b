"""Find the kinds: the KIND of every sub-package of `engine.experiments`, and plug-ins.

Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

import engine.experiments
from engine.errors import InvalidSpec, field_errors
from engine.kind import Kind, Preset
from engine.models.host import net_host
from engine.models.plugin_models import complete_model
from engine.models.spec import PluginSpec
from engine.plugins import PluginBroken, load_plugin_kinds
from engine.probes.plot import PROBE_PLOT
from engine.spec import ExperimentSpec
from engine.spec_fields import complete_tags
from engine.sweep_plots import SWEEP_PLOTS


@cache
def kinds() -> Mapping[str, Kind]:
    """All kinds by name, in alphabetical order with `train` first, with plots of every kind.

    Raises PluginBroken.
    """
    found: dict[str, Kind] = {}
    for module in iter_modules(engine.experiments.__path__):
        if module.ispkg:
            kind: Kind = import_module(f"engine.experiments.{module.name}").KIND
            assert kind.name == module.name, f"the kind {module.name} calls itself {kind.name}"
            found[kind.name] = kind
    for plugin in load_plugin_kinds():
        if plugin.name in found:
            raise PluginBroken(f"there are two kinds {plugin.name!r}; uninstall one of them")
        found[plugin.name] = plugin
    ordered = sorted(found.items(), key=lambda item: (item[0] != "train", item[0]))
    return MappingProxyType(
        {
            name: replace(kind, plots=(*kind.plots, PROBE_PLOT, *SWEEP_PLOTS))
            for name, kind in ordered
        }
    )


def get_kind(name: str) -> Kind:
    """The kind of that name. Raises InvalidSpec with the known names."""
    try:
        return kinds()[name]
    except KeyError:
        raise InvalidSpec.single(
            "#/spec/kind",
            "unknown-kind",
            f"unknown kind {name[:80]!r}; known: {', '.join(kinds())}",
        ) from None


def parse_spec(data: Any, pointer: str = "#/spec") -> ExperimentSpec:
    """A spec from JSON values, with all defaults. Raises InvalidSpec with every invalid field."""
    if not isinstance(data, Mapping):
        raise InvalidSpec.single(pointer, "object-required", "a spec is an object with a `kind`")
    kind = data.get("kind")
    if not isinstance(kind, str):
        raise InvalidSpec.single(
            f"{pointer}/kind", "missing", f"`kind` is required; known: {', '.join(kinds())}"
        )
    if kind not in kinds():
        raise InvalidSpec.single(
            f"{pointer}/kind",
            "unknown-kind",
            f"unknown kind {kind[:80]!r}; known: {', '.join(kinds())}",
        )
    model = kinds()[kind].spec
    data = complete_tags(model, data)
    try:
        spec = model.model_validate(data)
    except ValidationError as error:
        found = field_errors(error.errors(include_url=False), data, pointer, model)
        raise InvalidSpec(found) from None
    if isinstance(spec.model, PluginSpec):
        known = net_host().list_plugin_models(spec.model.source)
        completed = complete_model(spec.model, known, f"{pointer}/model")
        spec = spec.model_copy(update={"model": completed})
    return spec


@cache
def presets() -> Mapping[tuple[str, str], Preset]:
    """All presets by (name, scale), quick before paper: the demo, the paper's, the others."""
    found = sorted(
        (preset for kind in kinds().values() for preset in kind.presets()), key=_sort_key
    )
    by_name: dict[tuple[str, str], Preset] = {
        (preset.name, preset.scale): preset for preset in found
    }
    assert len(by_name) == len(found), "two presets share a name and a scale"
    return MappingProxyType(by_name)


_FIRST = ("demo", "fig", "table")
"""How the names of the first presets begin, in their order"""


def _sort_key(preset: Preset) -> tuple[int, list[str | int], bool]:
    """Numbers in names sort as numbers: fig2 before fig10a."""
    group = next(
        (n for n, start in enumerate(_FIRST) if preset.name.startswith(start)), len(_FIRST)
    )
    parts = re.split(r"(\d+)", preset.name)
    numbered = [int(part) if part.isdecimal() else part for part in parts]
    return group, numbered, preset.scale != "quick"
