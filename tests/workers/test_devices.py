"""GPUs as NVML lists them: whole ones, instances of MIG, by index or UUID; and without NVML."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynvml
import pytest
import torch

from workers import devices
from workers.devices import Device, GpuUnusable, check_gpu, describe_device, list_gpus


@dataclass
class Gpu:
    """What NVML tells of a GPU or of an instance."""

    uuid: str
    name: str = "card"
    total: int = 80 << 30
    instances: list[Gpu | None] | None = None
    """None: a card without MIG"""


@dataclass
class Nvml:
    """Stands for NVML's library, which needs a driver."""

    gpus: list[Gpu] = field(default_factory=list)
    NVMLError = pynvml.NVMLError
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.gpus:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    def nvmlShutdown(self) -> None:  # noqa: N802
        """Nothing to end."""

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Gpu:  # noqa: N802
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Gpu:  # noqa: N802
        for gpu in self.gpus:
            for instance in gpu.instances or ():
                if instance is not None and instance.uuid == uuid:
                    return instance
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetMigMode(self, gpu: Gpu) -> tuple[int, int]:  # noqa: N802
        if gpu.instances is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return bool(gpu.instances), 1

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: Gpu) -> int:  # noqa: N802
        return len(gpu.instances or ())

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: Gpu, place: int) -> Gpu:  # noqa: N802
        assert gpu.instances is not None
        found = gpu.instances[place]
        if found is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return found

    def nvmlDeviceGetUUID(self, gpu: Gpu) -> str:  # noqa: N802
        return gpu.uuid

    def nvmlDeviceGetName(self, gpu: Gpu) -> str:  # noqa: N802
        return gpu.name

    def nvmlDeviceGetMemoryInfo(self, gpu: Gpu) -> Any:  # noqa: N802
        return gpu


SMALL = Gpu("MIG-3", "card MIG 1g.10gb", 10 << 30)
MACHINE = [
    Gpu("GPU-1a"),
    Gpu("GPU-2b", instances=[SMALL, None, Gpu("MIG-4")]),
    Gpu("GPU-5c", instances=[]),
]
"""A GPU without MIG, one that it divides, one where it is off"""


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_an_instance_of_a_divided_gpu_is_a_device_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "pynvml", Nvml(MACHINE))
    assert list_gpus() == ["0", "MIG-3", "MIG-4", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-3")
    assert list_gpus() == ["MIG-3"]
    assert describe_device("gpu") == Device("card MIG 1g.10gb", 10 << 30)


def test_a_gpu_is_found_by_the_beginning_of_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = [Gpu("GPU-1a", "first"), Gpu("GPU-2b", "second", 1 << 30)]
    monkeypatch.setattr(devices, "pynvml", Nvml(by_name))
    for visible in ("GPU-2b", "GPU-2", "1", " GPU-2b, GPU-1a"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert describe_device("gpu") == Device("second", 1 << 30)


def test_without_nvml_a_process_of_its_own_asks_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "pynvml", Nvml())
    monkeypatch.setattr(devices, "DRIVER_FILES", (str(tmp_path / "none"),))
    assert list_gpus() == []
    assert describe_device("gpu") == Device("gpu", 0)
    monkeypatch.setattr(devices, "DRIVER_FILES", (str(tmp_path),))
    monkeypatch.setattr(devices, "ASK_TORCH", 'print(\'[["first", 5], ["second", 6]]\')')
    assert list_gpus() == ["0", "1"]
    assert describe_device("gpu") == Device("first", 5)
    monkeypatch.setattr(devices, "ASK_TORCH", "import sys; sys.exit('no driver')")
    assert list_gpus() == []
    assert caplog.messages == ["torch cannot list the GPUs: no driver"]


def test_torch_is_asked_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code that asks runs with this torch; without a GPU it finds none."""
    monkeypatch.setattr(devices, "DRIVER_FILES", (sys.executable,))
    assert len(devices._ask_torch()) == torch.cuda.device_count()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_torch_cannot_use_ends_the_start_of_a_worker() -> None:
    with pytest.raises(GpuUnusable, match="torch cannot use the GPU"):
        check_gpu()
