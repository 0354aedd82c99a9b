"""Examples that stay on the host give the bits of those that are resident on the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.cost import estimate
from engine.data import spec as data_spec
from engine.data.batches import BatchBuffers
from engine.data.resident import default_cache, to_device
from engine.data.spec import BUILTIN_DATASETS, DataSpec, is_streamed
from engine.data.streamed import StreamedExamples
from engine.experiments.registry import get_kind, parse_spec
from engine.experiments.train.spec import TrainSpec
from engine.local import LocalRunContext
from engine.spec import Execution
from tests.engine_parts.datasets import load

DIGITS = {"name": "digits", "train_size": 300, "test_size": 100}
FLOWERS = {"name": "flowers"}
CONV = {"name": "conv_net", "width": 4, "depth": 1}
CASES: dict[str, dict[str, Any]] = {
    "stacked seeds": {"kind": "train", "data": DIGITS},
    "seeds one by one": {"kind": "train", "data": DIGITS, "execution": {"stack_seeds": False}},
    "features": {"kind": "train", "data": FLOWERS},
    "convolutions with crops": {
        "kind": "train",
        "data": {**DIGITS, "augmentation": "crop_flip"},
        "model": CONV,
    },
    "frozen layers": {"kind": "lws", "data": DIGITS, "model": CONV},
    "resets": {"kind": "reinit_sweep", "data": DIGITS},
    "resets of convolutions": {"kind": "reinit_sweep", "data": DIGITS, "model": CONV},
    "whole gradients": {"kind": "gradient_spectrum", "data": DIGITS, "steps": [1]},
}


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """A folder with a data set of float32 features, stored so that it can be mapped."""
    rng = np.random.default_rng(0)
    labels = np.arange(150) % 3
    x = (rng.normal(size=(150, 4)) * [1, 10, 0.1, 5] + labels[:, None]).astype(np.float32)
    np.savez(
        tmp_path / "flowers.npz",
        x_train=x[:120],
        y_train=labels[:120],
        x_test=x[120:],
        y_test=labels[120:],
    )
    return tmp_path


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes every data set streamed."""

    def stream() -> None:
        monkeypatch.setattr(data_spec, "RESIDENT_BYTES", 0)
        default_cache().clear()

    default_cache().clear()
    yield stream
    default_cache().clear()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_kind_computes_the_same_bits_from_streamed_data(
    tmp_path: Path, flowers: Path, streaming: Any, case: dict[str, Any]
) -> None:
    body = dict(case)
    execution = Execution(device="cpu", **body.pop("execution", {}))
    spec = parse_spec({"epochs": 2, "batch_size": 64, **body})
    files, accuracies = [], []
    for folder in (tmp_path / "resident", tmp_path / "streamed"):
        ctx = LocalRunContext(folder, [0, 1], execution, data_dir=flowers, allow_download=False)
        results = get_kind(spec.kind).load_run()(spec, ctx)
        files.append({path.name: path.read_bytes() for path in folder.glob("*.safetensors")})
        accuracies.append([result.test_accuracy for result in results])
        streaming()
    assert len(files[0]) >= 4
    assert files[0] == files[1]
    assert accuracies[0] == accuracies[1]


@pytest.mark.parametrize("name", ["digits", "flowers"])
@pytest.mark.parametrize("normalization", ["standardize", "unit"])
def test_slices_and_batches_are_those_of_the_tensor(
    flowers: Path, streaming: Any, name: str, normalization: Any
) -> None:
    spec = DataSpec(name=name, normalization=normalization)
    resident = load(spec, flowers)
    streaming()
    streamed = load(spec, flowers)
    assert isinstance(resident.x_train, torch.Tensor)
    assert isinstance(streamed.x_train, StreamedExamples)
    assert (streamed.sha256, streamed.mean, streamed.std) == (
        resident.sha256,
        resident.mean,
        resident.std,
    )
    assert streamed.x_train.shape == resident.x_train.shape
    assert torch.equal(streamed.x_train[7:40], resident.x_train[7:40])
    indices = torch.tensor([3, 0, 99, 3])
    assert torch.equal(streamed.x_train[indices], resident.x_train[indices])
    flat = streamed.x_train.reshape(len(streamed.x_train), -1)
    assert torch.equal(flat[5:9], resident.x_train.reshape(len(resident.x_train), -1)[5:9])


def test_buffers_are_filled_from_streamed_images_in_both_memory_formats(streaming: Any) -> None:
    resident = load(DataSpec(train_size=100))
    streaming()
    streamed = load(DataSpec(train_size=100))
    indices = torch.tensor([5, 99, 0, 41])
    for memory_format in (torch.contiguous_format, torch.channels_last):
        batches = [
            BatchBuffers(data.x_train.contiguous(memory_format=memory_format), data.y_train, 8)
            for data in (resident, streamed)
        ]
        (x, y), (streamed_x, streamed_y) = (buffers.gather(indices) for buffers in batches)
        assert torch.equal(x, streamed_x)
        assert torch.equal(y, streamed_y)
        assert x.stride() == streamed_x.stride()


def test_the_file_of_a_streamed_set_is_mapped_and_takes_no_memory_of_its_floats(
    flowers: Path, streaming: Any
) -> None:
    streaming()
    data = to_device(load(DataSpec(name="flowers"), flowers), "cpu")
    assert isinstance(data.x_train, StreamedExamples)
    assert isinstance(data.x_train._stored.base, np.memmap)
    digits = to_device(load(DataSpec(train_size=100, test_size=10)), "cpu")
    assert digits.num_bytes == 110 * (784 + 8)


def test_a_set_is_streamed_from_more_than_4_gib_of_floats_on() -> None:
    assert not is_streamed((1 << 30) // 784, (1, 28, 28))
    assert is_streamed((1 << 30) // 784 + 1, (1, 28, 28))
    assert not is_streamed(1 << 28, (4,))


def test_the_estimate_counts_streamed_data_as_it_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digits = BUILTIN_DATASETS["digits"]
    resident = estimate(TrainSpec(), 1, digits).memory_bytes
    monkeypatch.setattr(data_spec, "RESIDENT_BYTES", 0)
    assert resident - estimate(TrainSpec(), 1, digits).memory_bytes == 5_000 * 784 * 4
