"""Devices of this machine. NVML lists the GPUs: torch's CUDA context would not survive a fork."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml

from runtime.settings import Settings
from storage.runs.placement import Capacity, format_labels

log = logging.getLogger("richregime.worker")

DRIVER_FILES = ("/dev/nvidiactl", "/dev/dxg")
"""One is there where NVIDIA's driver is, the second under WSL"""


@dataclass(frozen=True, slots=True)
class Device:
    """The device on which a worker computes."""

    name: str
    memory_bytes: int


class GpuUnusable(RuntimeError):
    """A GPU is listed, but torch cannot compute on it."""


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
    """One value for CUDA_VISIBLE_DEVICES per GPU, or per instance of a GPU that MIG divides.

    Those that the variable names, if it is set; else all, in PCI bus order. Without NVML, as in a
    container without the driver's `utility` capability, a process of its own asks torch.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    with _nvml() as is_available:
        found = _list_with_nvml() if is_available else None
    if found is None:
        found = [str(index) for index, _ in enumerate(_ask_torch())]
    if visible is None:
        return found
    names = [name.strip() for name in visible.split(",")]
    return [name for name in names if name and name != "-1"] if found else []


def describe_device(device_class: str) -> Device:
    """The device of a worker of this class: the CPU, or the first visible GPU."""
    if device_class == "cpu":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Device("cpu", memory)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    with _nvml() as is_available:
        if is_available:
            handle = _handle(visible)
            name = pynvml.nvmlDeviceGetName(handle)
            return Device(str(name), int(pynvml.nvmlDeviceGetMemoryInfo(handle).total))
    return next(iter(_ask_torch()), Device("gpu", 0))


def make_capacity(settings: Settings, device_class: str) -> Capacity:
    """What a worker of this class offers on this machine."""
    return Capacity(
        device_class,
        describe_device(device_class).memory_bytes,
        describe_device("cpu").memory_bytes,
        format_labels(settings.worker_labels),
    )


def check_gpu() -> None:
    """Compute one number on this process's GPU.

    Raises GpuUnusable where torch cannot: the driver is too old, the GPU is hidden, or this torch
    has no kernels for it. NVML lists such a GPU all the same, and every run on it would fail.
    """
    import torch

    try:
        torch.ones(1, device="cuda").add_(1).item()
    except (RuntimeError, AssertionError) as error:  # the second: a torch without CUDA
        raise GpuUnusable(f"torch cannot use the GPU: {str(error).splitlines()[0]}") from error


def _list_with_nvml() -> list[str]:
    found: list[str] = []
    for index in range(int(pynvml.nvmlDeviceGetCount())):
        instances = _list_instances(pynvml.nvmlDeviceGetHandleByIndex(index))
        found += [str(index)] if instances is None else instances
    return found


def _list_instances(gpu: Any) -> list[str] | None:
    """The names of the GPU's MIG instances; None where MIG does not divide it."""
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(gpu)
    except pynvml.NVMLError:  # a GPU that cannot be divided
        return None
    if current != pynvml.NVML_DEVICE_MIG_ENABLE:
        return None
    found = []
    for place in range(int(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu))):
        try:
            instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, place)
        except pynvml.NVMLError:  # no instance at this place
            continue
        found.append(str(pynvml.nvmlDeviceGetUUID(instance)))
    return found


def _handle(visible: str) -> Any:
    """Of a GPU or MIG instance by its index or UUID; CUDA accepts the beginning of a GPU's."""
    if visible.isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(visible))
    for index in range(int(pynvml.nvmlDeviceGetCount())):
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        if str(pynvml.nvmlDeviceGetUUID(gpu)).startswith(visible):
            return gpu
    return pynvml.nvmlDeviceGetHandleByUUID(visible)


ASK_TORCH = """
import json, torch
devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
print(json.dumps([(device.name, device.total_memory) for device in devices]))
"""


def _ask_torch() -> list[Device]:
    """The GPUs that CUDA shows to a new process; none where the machine has no driver."""
    if not any(Path(path).exists() for path in DRIVER_FILES):
        return []
    command = [sys.executable, "-c", ASK_TORCH]
    done = subprocess.run(  # noqa: S603 - own code  # nosec B603
        command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        log.warning(
            "torch cannot list the GPUs: %s", (done.stderr.splitlines() or ["no reason"])[-1]
        )
        return []
    return [Device(name, memory) for name, memory in json.loads(done.stdout)]
