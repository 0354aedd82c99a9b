"""Which worker can compute which run: what a run needs of a worker, and what a worker offers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

MEMORY_STEP = 256 << 20
"""Needed memory is rounded up to so many bytes, so that the points of a sweep need the same."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs of the worker that computes it."""

    device_class: str = "any"
    """`cpu`, `gpu` or `any`"""
    memory_bytes: int = 0
    """By estimate; 0: nothing is known of it"""
    requires: str = ""
    """Labels, as `format_labels` writes them"""

    def describe(self) -> str:
        """As a user reads it."""
        memory = f"{self.memory_bytes / 2**30:.4g} GiB of memory" if self.memory_bytes else ""
        device = {"any": "", "cpu": "a CPU", "gpu": "a GPU"}[self.device_class]
        return ", ".join(filter(None, (device, memory, self.requires.replace(",", ", "))))


NO_NEEDS = Needs()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a worker offers."""

    device_class: str
    """`cpu` or `gpu`"""
    memory_bytes: int = 0
    """Of its device; 0: it is not known, and everything fits"""
    host_memory_bytes: int = 0
    """Of its machine, alike; what a GPU's worker has for runs on the CPU"""
    labels: str = ""
    """As `format_labels` writes them"""

    def fits(self, needs: Needs) -> bool:
        """Whether the worker can compute the run, on its own device or, a GPU's worker, on the CPU beside it."""
        offers = [(self.device_class, self.memory_bytes)]
        if self.device_class == "gpu":
            offers.append(("cpu", self.host_memory_bytes))
        return has_labels(parse_labels(self.labels), needs.requires) and any(
            needs.device_class in ("any", device_class)
            and (not memory or needs.memory_bytes <= memory)
            for device_class, memory in offers
        )

    @property
    def channel(self) -> str:
        """The name of the wake-up that is heard by the workers that offer the same, and by no others."""
        if not (self.memory_bytes or self.labels):
            return self.device_class
        told = f"{self.memory_bytes}:{self.host_memory_bytes}:{self.labels}"
        return f"{self.device_class}.{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def format_labels(labels: Mapping[str, str]) -> str:
    """`name=value` with commas between, by name: equal labels are written alike."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def parse_labels(text: str) -> dict[str, str]:
    """The labels of `format_labels`. Raises ValueError where a part is no `name=value`."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not (name and equals and value):
            raise ValueError(f"{part!r} is no name=value")
        found[name] = value
    return found


def has_labels(labels: Mapping[str, str], requires: str) -> bool:
    """Whether all labels that are required are there."""
    return all(labels.get(name) == value for name, value in parse_labels(requires).items())


def round_up(memory_bytes: int) -> int:
    """The next whole step of memory."""
    return -(-memory_bytes // MEMORY_STEP) * MEMORY_STEP
