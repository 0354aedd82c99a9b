"""The entries of the gallery: a preset per figure or table, sized for two CPU cores."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.registry import presets
from engine.kind import Preset
from engine.paper.preset_readings import apply_reading
from engine.paper.readings import ReadingName

FIVE_SEEDS = (0, 1, 2, 3, 4)
THREE_SEEDS = (0, 1, 2)
MNIST = {"name": "mnist", "train_size": 10_000}
SMALL_MNIST = {"name": "mnist", "train_size": 2_000, "test_size": 1_000}
CIFAR10_JPEG = {"name": "cifar10-jpeg", "train_size": 5_000, "test_size": 2_000}
"""CIFAR-10 from JPEG-compressed copies of its images; titles say so, as results differ from
CIFAR-10's."""
_TITLES = {"mnist": "MNIST", "cifar10-jpeg": "JPEG copies of CIFAR-10"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A preset at `quick` scale with changes, e.g. more data and larger nets."""

    preset: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the spec that replace the preset's."""
    sweep: Mapping[str, list[Any]] = field(default_factory=dict)
    """Axes that replace the preset's."""
    seeds: tuple[int, ...] = ()
    """Replace the preset's; empty keeps those."""
    reading: ReadingName | None = None
    """A reading of the paper other than the preset's"""

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.preset}-{self.reading}" if self.reading else self.preset

    @property
    def is_changed(self) -> bool:
        """Whether its body differs from the preset's."""
        return bool(self.spec or self.sweep or self.seeds or self.reading)

    @property
    def data_file(self) -> str | None:
        """The file that it needs in the data folder; None for a built-in data set."""
        name = self.spec.get("data", {}).get("name")
        return None if name is None or name in BUILTIN_DATASETS else f"{name}.npz"

    @property
    def title(self) -> str:
        """The preset's title, adapted to the changes."""
        title = presets()[self.preset, "quick"].title
        if "data" in self.spec:
            name = self.spec["data"]["name"]
            title = title.replace("on digits", f"on {_TITLES.get(name, name)}")
        return f"{title} (reading {self.reading})" if self.reading else title

    def find_preset(self) -> Preset:
        """The preset with the changes, then by the reading."""
        preset = presets()[self.preset, "quick"]
        body: dict[str, Any] = deepcopy(dict(preset.body))
        body["spec"] |= deepcopy(dict(self.spec))
        body["sweep"] |= deepcopy(dict(self.sweep))
        if self.seeds:
            body["seeds"] = list(self.seeds)
        changed = replace(preset, body=body)
        return apply_reading(changed, self.reading) if self.reading else changed

    def body(self) -> dict[str, Any]:
        """The body of its submission."""
        return dict(self.find_preset().body) | {"name": self.title}


CHANGES: tuple[Entry, ...] = (
    Entry("fig2", {"data": MNIST, "epochs": 20}, {"model.width": [10, 100, 1_000]}, FIVE_SEEDS),
    Entry(
        "fig2",
        {"data": MNIST, "epochs": 20},
        {"model.width": [10, 100, 1_000]},
        FIVE_SEEDS,
        reading="printed",
    ),
    Entry("fig4a", {"data": MNIST, "epochs": 20}, {"model.width": [10, 100, 1_000]}, FIVE_SEEDS),
    Entry("fig3", {"data": MNIST, "epochs": 20}, {"model.width": [10, 100, 1_000]}, FIVE_SEEDS),
    Entry("fig4b", {"data": MNIST, "epochs": 20}, {"model.width": [10, 100, 1_000]}, FIVE_SEEDS),
    Entry("fig7a", {"data": SMALL_MNIST}, seeds=FIVE_SEEDS),
    Entry("fig8a", {"data": SMALL_MNIST}, seeds=FIVE_SEEDS),
    Entry("fig10a", {"data": SMALL_MNIST}, seeds=THREE_SEEDS),
    Entry("fig11a", {"data": SMALL_MNIST}, seeds=THREE_SEEDS),
    Entry(
        "fig23",
        {"data": CIFAR10_JPEG, "model": {"name": "vgg11", "width_multiplier": 0.25}, "epochs": 12},
        seeds=THREE_SEEDS,
    ),
)
"""Presets that the gallery enlarges or shows a second time; all others are unchanged."""


def list_entries(data_dir: Path | None = None) -> tuple[Entry, ...]:
    """An entry for every figure and table at `quick` scale, in the order of the paper.

    A changed entry whose file is not in `data_dir` is replaced by the unchanged preset.
    """
    changed = [entry for entry in CHANGES if _has_data(entry, data_dir)]
    replaced = {entry.preset for entry in changed if entry.reading is None}
    unchanged = {
        name
        for name, scale in presets()
        if scale == "quick" and name != "demo" and name not in replaced
    }
    return tuple(
        sorted([*changed, *map(Entry, unchanged)], key=lambda entry: paper_order(entry.name))
    )


def _has_data(entry: Entry, data_dir: Path | None) -> bool:
    return entry.data_file is None or (
        data_dir is not None and (data_dir / entry.data_file).is_file()
    )


def paper_order(name: str) -> tuple[int, str]:
    """A sort key: `fig2` before `fig10`, and the table last."""
    digits = "".join(letter for letter in name if letter.isdigit())
    return (int(digits) if name.startswith("fig") else 1_000, name)
