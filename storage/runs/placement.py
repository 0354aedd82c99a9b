"""Which worker can execute which run: the needs of a run and the capacity of a worker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

MEMORY_STEP = 256 << 20
"""Needed memory is rounded up to a multiple of this, so that the points of a sweep need the same"""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs from its worker."""

    device_class: str = "any"
    """`cpu`, `gpu` or `any`"""
    memory_bytes: int = 0
    """By estimate; 0: unknown"""
    requires: str = ""
    """Labels in the format of `format_labels`"""

    def describe(self) -> str:
        """For users, such as `a GPU, 4 GiB of memory, gpu=h100`."""
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
    """Of its device; 0: unknown, and every run fits"""
    host_memory_bytes: int = 0
    """Of its machine; 0: unknown. A GPU worker uses it for runs on the CPU"""
    labels: str = ""
    """In the format of `format_labels`"""

    def fits(self, needs: Needs) -> bool:
        """Whether the worker can execute the run on its device; a GPU worker also on its CPU."""
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
        """The name of the message queue shared by all workers with this capacity, and no others."""
        if not (self.memory_bytes or self.labels):
            return self.device_class
        offered = f"{self.memory_bytes}:{self.host_memory_bytes}:{self.labels}"
        return f"{self.device_class}.{hashlib.sha256(offered.encode()).hexdigest()[:12]}"


def format_labels(labels: Mapping[str, str]) -> str:
    """`name=value` pairs by name, separated by commas: equal labels give equal text."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def parse_labels(text: str) -> dict[str, str]:
    """The labels in the format of `format_labels`. Raises ValueError for other text."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not (name and equals and value):
            raise ValueError(f"{part!r} is not of the form name=value")
        found[name] = value
    return found


def has_labels(labels: Mapping[str, str], requires: str) -> bool:
    """Whether the labels contain all required ones."""
    return all(labels.get(name) == value for name, value in parse_labels(requires).items())


def round_up(memory_bytes: int) -> int:
    """The next multiple of `MEMORY_STEP`."""
    return -(-memory_bytes // MEMORY_STEP) * MEMORY_STEP
