"""What the gallery shows: for each figure and table, the preset and how far it is taken on two cores."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from engine.experiments.registry import presets
from engine.kind import Preset

MNIST = {"name": "mnist", "train_size": 10_000}
FASHION = {"name": "fashion_mnist", "train_size": 10_000}


@dataclass(frozen=True, slots=True)
class Entry:
    """A preset at `quick` scale, and what is changed in its body: larger data and nets where two cores allow it."""

    preset: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the form that replace the preset's."""
    sweep: Mapping[str, list[Any]] = field(default_factory=dict)
    """Axes that replace the preset's."""
    seeds: tuple[int, ...] = ()
    """In place of the preset's; empty keeps them."""

    def find_preset(self) -> Preset:
        return presets()[self.preset, "quick"]

    def body(self) -> dict[str, Any]:
        """The submission."""
        body: dict[str, Any] = deepcopy(dict(self.find_preset().body))
        body["spec"] |= deepcopy(dict(self.spec))
        body["sweep"] |= deepcopy(dict(self.sweep))
        if self.seeds:
            body["seeds"] = list(self.seeds)
        return body


CHANGES: tuple[Entry, ...] = (
    Entry("fig2", {"data": MNIST, "epochs": 20}, {"model.width": [10, 100, 1_000, 10_000]}, (0, 1, 2, 3, 4)),
    Entry("fig4a", {"data": MNIST, "epochs": 20}, {"model.width": [10, 100, 1_000, 10_000]}, (0, 1, 2, 3, 4)),
    Entry("fig3", {"data": MNIST, "epochs": 20}, {"model.width": [10, 100, 1_000]}, (0, 1, 2, 3, 4)),
    Entry("fig4b", {"data": MNIST, "epochs": 20}, {"model.width": [10, 100, 1_000]}, (0, 1, 2, 3, 4)),
)
"""Presets that the gallery takes further than `quick`; all others are shown as they come."""


def list_entries() -> tuple[Entry, ...]:
    """One entry for every preset of a figure or table at `quick` scale, in the order of the paper."""
    changed = {entry.preset: entry for entry in CHANGES}
    names = sorted(
        {name for name, scale in presets() if scale == "quick" and name != "demo"}, key=paper_order
    )
    return tuple(changed.get(name, Entry(name)) for name in names)


def paper_order(name: str) -> tuple[int, str]:
    """Sorts `fig2` before `fig10`, and the table last."""
    digits = "".join(letter for letter in name if letter.isdigit())
    return (int(digits) if name.startswith("fig") else 1_000, name)
