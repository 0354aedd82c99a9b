"""Devices of this machine. NVML lists the GPUs: torch's CUDA context would not survive a fork."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pynvml

from runtime.settings import Settings
from storage.runs.placement import Capacity, format_labels


@dataclass(frozen=True, slots=True)
class Device:
    """The device on which a worker computes."""

    name: str
    memory_bytes: int


@contextmanager
def _nvml() -> Iterator[bool]:
    """Yields whether NVML is available."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()


def list_gpus() -> list[str]:
    """One value for CUDA_VISIBLE_DEVICES per GPU.

    The GPUs that the variable names, if it is set; else all GPUs, in PCI bus order.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    with _nvml() as is_available:
        count = int(pynvml.nvmlDeviceGetCount()) if is_available else 0
    if visible is None:
        return [str(index) for index in range(count)]
    names = [name.strip() for name in visible.split(",")]
    return [name for name in names if name and name != "-1"] if count else []


def describe_device(device_class: str) -> Device:
    """The device of a worker of this class: the CPU, or the first visible GPU."""
    if device_class == "cpu":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Device("cpu", memory)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    with _nvml() as is_available:
        if not is_available:
            return Device("gpu", 0)
        handle = _handle(visible)
        name = pynvml.nvmlDeviceGetName(handle)
        return Device(str(name), int(pynvml.nvmlDeviceGetMemoryInfo(handle).total))


def make_capacity(settings: Settings, device_class: str) -> Capacity:
    """What a worker of this class offers on this machine."""
    return Capacity(
        device_class,
        describe_device(device_class).memory_bytes,
        describe_device("cpu").memory_bytes,
        format_labels(settings.worker_labels),
    )


def _handle(visible: str) -> Any:
    if visible.isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(visible))
    return pynvml.nvmlDeviceGetHandleByUUID(visible)
