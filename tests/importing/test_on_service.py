"""As a new user: a table and a folder of images are imported, and nets are trained on them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import InvalidSpec
from engine.local import run_local
from ops.ports import free_port
from ops.up import Stack
from richregime import Client, TrainResult
from richregime.enums import ExperimentStatus

pytestmark = pytest.mark.xdist_group("whole_service")

CORRUPTED = {"label_noise": 1.0, "seed": 3}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with (
        Stack(tmp_path_factory.mktemp("service"), free_port()) as stack,
        Client(stack.url) as opened,
    ):
        yield opened


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    """150 flowers, a table without a header that ships with mlxtend."""
    package = find_spec("mlxtend")
    assert package is not None
    assert package.submodule_search_locations is not None
    packed = Path(package.submodule_search_locations[0], "data", "data", "iris.csv.gz")
    table = tmp_path / "iris.csv"
    table.write_bytes(gzip.decompress(packed.read_bytes()))
    return table


def test_a_table_is_learnt_but_not_from_labels_drawn_anew(client: Client, iris: Path) -> None:
    made = client.import_dataset("iris", iris)
    assert (made.shape, made.class_names) == ([4], ["0", "1", "2"])
    assert made.class_counts == {"train": [40] * 3, "test": [10] * 3}
    spec = {
        "kind": "train",
        "data": {"name": "iris"},
        "epochs": 30,
        "batch_size": 16,
        "optimizer": {"name": "adam", "lr": 0.01},
        "model": {"name": "relu_net", "width": 50, "depth": 2},
    }
    accuracies = []
    for corruption in ({}, CORRUPTED):
        body = {**spec, "data": {"name": "iris", "corruption": corruption}}
        ended = client.wait(client.submit(body, seeds=[0, 1, 2]).id, timeout=120)
        assert ended.status == ExperimentStatus.SUCCEEDED, ended.detail
        result = client.result(ended.id)
        assert isinstance(result, TrainResult)
        accuracies.append(result.points[0].test_accuracy.mean)
    assert accuracies[0] > 0.8
    assert accuracies[1] < 0.7


def test_a_folder_of_images_is_learnt_by_convolutions(client: Client, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, brightness in (("dark", 60), ("light", 180)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(40):
            pixels = rng.normal(brightness, 30, (20, 30, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    made = client.import_dataset("photos", tmp_path / "photos", side=16)
    assert (made.shape, made.class_names) == ([3, 16, 16], ["dark", "light"])
    spec = {
        "kind": "lws",
        "data": {"name": "photos"},
        "epochs": 5,
        "batch_size": 16,
        "model": {"name": "conv_net", "width": 4, "depth": 2},
    }
    ended = client.wait(client.submit(spec).id, timeout=120)
    assert ended.status == ExperimentStatus.SUCCEEDED, ended.detail


def test_the_engine_alone_refuses_convolutions_on_features(tmp_path: Path) -> None:
    x, y = np.zeros((20, 3), np.float32), np.arange(20) % 2
    np.savez(tmp_path / "flat.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    spec = {
        "kind": "train",
        "model": {"name": "vgg5"},
        "data": {"name": "flat", "augmentation": "crop_flip"},
    }
    with pytest.raises(InvalidSpec) as caught:
        run_local(spec, tmp_path / "out", seeds=[0], data_dir=tmp_path, device="cpu")
    assert [error.pointer for error in caught.value.errors] == [
        "#/spec/data/augmentation",
        "#/spec/model",
    ]
