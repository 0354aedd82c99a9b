"""The entries of the gallery: a preset per figure or table, and those of several readings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.registry import presets
from engine.kind import Preset
from engine.paper.preset_readings import apply_reading
from engine.paper.readings import ReadingName
from engine.paper.recipes import Scale
from engine.sweep_plots import SWEEP_NAMES
from ops.gallery.texts import POLICY, name_values

THREE_SEEDS = (0, 1, 2)
WIDTH = "model.width"
CIFAR10_JPEG = {"name": "cifar10-jpeg", "train_size": 5_000, "test_size": 2_000}
"""CIFAR-10 from JPEG-compressed copies of its images; titles say so, as results differ from
CIFAR-10's."""
_TITLES = {"mnist": "MNIST", "cifar10-jpeg": "JPEG copies of CIFAR-10"}
_AXES = {WIDTH: "widths", POLICY: "policies", "init": "initialisations"}
ALL_MODES = {"modes": ["active", "lazy", "random"]}
READ_BY: tuple[ReadingName, ...] = ("first_epoch", "trainable", "printed")
"""The readings by which claims 1 to 4 are judged, the most telling first"""
WIDTHS = {1: [10, 100, 1_000, 10_000], 4: [10, 100, 1_000]}
"""By depth: those of the paper's that two cores train in hours, by the first of `READ_BY`"""
WIDTHS_OF_OTHERS = {1: [10, 100, 1_000], 4: [10, 100]}
"""By the other readings, in tens of minutes: towards theta_0 no width recovers, and at the printed
rate deep nets stay at chance"""
MIDDLE_WIDTHS = [100, 1_000]
"""Where an early net is neither poor, as at width 10, nor nearly as good as the trained net, as at
width 10,000"""
CONV_WIDTHS = [10, 32]
FULL = {"name": "full"}
DRAWN: list[dict[str, Any]] = [
    FULL,
    *({"name": "top_k_all_bottoms", "k": k, "rho": rho} for k in (1, 2, 4) for rho in (0.1, 0.3)),
    {"name": "random_uniform"},
    {"name": "random_beta"},
]
"""Policies of VGG-5 at the paper's 100 epochs; in fewer, rho = 0.1 may draw no full epoch"""
STATIC: list[dict[str, Any]] = [
    FULL,
    *({"name": "top_k", "k": k} for k in (1, 3, 4)),
    *({"name": "top_k_bottom_q", "k": k, "q": k} for k in (1, 2)),
    {"name": "middle"},
]
STATIC_EPOCHS = 40
"""In place of 100, so that two cores compute the static policies in hours"""
SELDOM = {"evaluate": {"every": 5}}
"""A test after each epoch would take a fifth of a full training of VGG-5"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A preset with changes, e.g. other data or widths."""

    preset: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the spec that replace the preset's."""
    sweep: Mapping[str, list[Any]] = field(default_factory=dict)
    """Axes that replace the preset's."""
    seeds: tuple[int, ...] = ()
    """Replace the preset's; empty keeps those."""
    reading: ReadingName | None = None
    """A reading of the paper, which its name then tells"""
    part: str = ""
    """What it is of, where several entries have one preset and reading, e.g. `widths 100, 1000`"""
    scale: Scale = "quick"

    @property
    def name(self) -> str:
        """The name of its files."""
        part = self.part.replace(",", "").replace(" ", "_")
        return "-".join(filter(None, (self.preset, self.reading, part)))

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
        title = self.find_preset().title.removesuffix(f" (reading {self.reading})")
        if "data" in self.spec:
            name = self.spec["data"]["name"]
            for replaced in ("on digits", "on CIFAR-10"):
                title = title.replace(replaced, f"on {_TITLES.get(name, name)}")
        told = [f"reading {self.reading}" if self.reading else "", self.part]
        shown = ", ".join(filter(None, told))
        return f"{title} ({shown})" if shown else title

    def find_preset(self) -> Preset:
        """The preset with the changes, then by the reading."""
        preset = presets()[self.preset, self.scale]
        body: dict[str, Any] = deepcopy(dict(preset.body))
        body["spec"] |= deepcopy(dict(self.spec))
        left_out = [
            _tell_left_out(axis, list(body["sweep"].get(axis, ())), values)
            for axis, values in self.sweep.items()
        ]
        body["sweep"] |= deepcopy(dict(self.sweep))
        if self.seeds:
            body["seeds"] = list(self.seeds)
        changed = replace(
            preset,
            body=body,
            departures=(*preset.departures, *filter(None, left_out)),
            # those of policies tell which ones the preset has
            choices=() if POLICY in self.sweep else preset.choices,
        )
        return apply_reading(changed, self.reading) if self.reading else changed

    def body(self) -> dict[str, Any]:
        """The body of its submission."""
        return dict(self.find_preset().body) | {"name": self.title}

    def list_pictures(self) -> list[Picture]:
        """Those of its plots; one of the sweep shows each quantity that the preset claims."""
        preset = self.find_preset()
        claimed = dict.fromkeys(one["quantity"] for one in preset.body.get("claims", ()))
        return [
            Picture(plot, quantity)
            for plot in preset.plots
            for quantity in (claimed if plot in SWEEP_NAMES else [None])
        ]


def _tell_left_out(axis: str, of_preset: list[Any], computed: list[Any]) -> str:
    """Which values of the preset's axis an entry leaves out, and what it has; empty for none."""
    left_out = [value for value in of_preset if value not in computed]
    if not left_out:
        return ""
    told, others = name_values(axis, left_out), name_values(axis, computed)
    return f"{_AXES.get(axis, axis)} left out: {told} (computed: {others})"


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot, and for one of the sweep the quantity that it shows."""

    plot: str
    quantity: str | None = None

    @property
    def name(self) -> str:
        """Part of its file's name."""
        return self.plot if self.quantity is None else f"{self.plot}-{self.quantity}"


def _list_at_size() -> Iterator[Entry]:
    """The figures that two cores compute at the paper's size, but for the widest nets."""
    yield Entry("reference_point", scale="paper")
    widths = {WIDTH: MIDDLE_WIDTHS}
    part = f"widths {', '.join(map(str, MIDDLE_WIDTHS))}"
    yield Entry("fig2", ALL_MODES, widths, reading="first_epoch", scale="paper", part=part)
    for reading in READ_BY:
        for sweeps, bars, depth in (
            (("fig2",), "fig4a", 1),
            (("fig3",), "fig4b", 4),
            (("fig14a", "fig15a"), "fig16a", 1),
            (("fig14b", "fig15b"), "fig16b", 4),
        ):
            of_reading = WIDTHS if reading == READ_BY[0] else WIDTHS_OF_OTHERS
            widths = {WIDTH: of_reading[depth]}
            for name in sweeps:
                yield Entry(name, ALL_MODES, widths, reading=reading, scale="paper")
            yield Entry(bars, {}, widths, reading=reading, scale="paper")
    for name in ("fig5", "fig18"):
        yield Entry(name, seeds=THREE_SEEDS, scale="paper")
    for name in ("fig6", "fig19", "fig17", "fig20"):
        yield Entry(name, {}, {WIDTH: CONV_WIDTHS}, THREE_SEEDS, scale="paper")
    for name in ("fig10a", "fig11a", "fig9a", "fig12a"):
        yield Entry(name, SELDOM, {POLICY: DRAWN}, THREE_SEEDS, scale="paper")
    for name in ("fig7a", "fig8a"):
        epochs = {"epochs": STATIC_EPOCHS, **SELDOM}
        yield Entry(name, epochs, {POLICY: STATIC}, THREE_SEEDS, scale="paper")


AT_SIZE: tuple[Entry, ...] = tuple(_list_at_size())
CHANGES: tuple[Entry, ...] = (
    Entry(
        "fig23",
        {"data": CIFAR10_JPEG, "model": {"name": "vgg11", "width_multiplier": 0.25}, "epochs": 12},
        seeds=THREE_SEEDS,
    ),
    Entry("lazy_to_rich", {"data": {"name": "mnist", "train_size": 10_000}}),
    Entry(
        "regime_reinit",
        {"data": {"name": "mnist", "train_size": 10_000, "normalization": "unit"}},
    ),
    Entry("regime_activity", {"data": {"name": "mnist", "train_size": 2_000}}),
    Entry("regime_lws", {"data": {"name": "mnist", "train_size": 2_000}}),
)
"""Presets at `quick` scale that the gallery enlarges; those of neither list are unchanged."""
BEYOND_TWO_CORES: tuple[Entry, ...] = (
    Entry("fig10a", scale="paper"),
    Entry("fig11a", scale="paper"),
    Entry("fig7a", scale="paper"),
    Entry("fig8a", scale="paper"),
    Entry("fig2", reading="first_epoch", scale="paper"),
    Entry(
        "table1",
        {"data": {"name": "cifar10-jpeg", "augmentation": "crop_flip"}},
        {"init": [{"name": "xavier"}]},
        scale="paper",
    ),
    Entry("fig6", scale="paper"),
    Entry("fig19", scale="paper"),
    Entry("fig9a", scale="paper"),
    Entry("fig12a", scale="paper"),
)
"""What two cores do not compute in days, at the paper's own size, the most telling first. The
table's pretrained net is left out, since its weights are a download; its images are the copy that
can be had without one."""


def list_entries(data_dir: Path | None = None) -> tuple[Entry, ...]:
    """The entries of every figure and table, in the order in which they are computed.

    A changed entry whose file is not in `data_dir` is replaced by the unchanged preset.
    """
    changed = [entry for entry in CHANGES if _has_data(entry, data_dir)]
    replaced = {entry.preset for entry in (*AT_SIZE, *changed)}
    unchanged = [
        Entry(name)
        for name, scale in presets()
        if scale == "quick" and name != "demo" and name not in replaced
    ]
    others = sorted([*changed, *unchanged], key=lambda entry: paper_order(entry.name))
    return (*AT_SIZE, *others)


def list_left_out(data_dir: Path | None = None) -> list[Entry]:
    """The changed entries in whose place `list_entries` has the unchanged preset."""
    return [entry for entry in CHANGES if not _has_data(entry, data_dir)]


def _has_data(entry: Entry, data_dir: Path | None) -> bool:
    return entry.data_file is None or (
        data_dir is not None and (data_dir / entry.data_file).is_file()
    )


def paper_order(name: str) -> tuple[int, str]:
    """A sort key: `fig2` before `fig10`, and the table last."""
    digits = "".join(letter for letter in name if letter.isdigit())
    return (int(digits) if name.startswith("fig") else 1_000, name)
