"""What the client sends for an import, and the command that imports."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data.importing.torchvision_sets import SETS
from richregime import AsyncClient, Client, importing
from richregime.errors import InvalidArgument, ProblemError
from richregime.importing import read_import
from tests.client.conftest import Invoke
from tests.importing.test_hub_sets import CLASSES, FILES, SHA, write
from tests.importing.test_torchvision_sets import IMAGES, LABELS, write_idx

IRIS = "length,width,species,colour\n" + "".join(
    f"{number},{number % 7},{('setosa', 'virginica')[number % 2]},blue\n" for number in range(40)
)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    folder = tmp_path / "pets"
    for name, value in (("cat", 10), ("dog", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (9, 7), value + number).save(folder / name / f"{number}.png")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("hidden")
    return folder


def test_a_file_is_sent_as_it_is_and_a_folder_packed_without_hidden_files(
    tmp_path: Path, pets: Path
) -> None:
    (tmp_path / "iris.csv").write_text(IRIS)
    assert read_import(tmp_path / "iris.csv") == (IRIS.encode(), "iris.csv", ())
    data, name, _ = read_import(pets)
    assert (data, name) == (read_import(pets)[0], "pets")
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        names = packed.namelist()
        assert packed.read("cat/0.png") == (pets / "cat" / "0.png").read_bytes()
    assert names == [f"{one}/{number}.png" for one in ("cat", "dog") for number in range(5)]


def test_a_folder_of_too_many_files_is_refused_by_count(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MAX_FILES", 9)
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(InvalidArgument, match="holds more than 9 files"):
        read_import(pets)


def test_what_is_neither_a_file_nor_a_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidArgument, match=r"nothing\.csv does not exist"):
        read_import(tmp_path / "nothing.csv")
    with pytest.raises(InvalidArgument, match="'imagenet' is not known: cifar100"):
        read_import(Path("imagenet"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidArgument, match="holds no file"):
        read_import(tmp_path / "empty")
    monkeypatch.setattr(importing, "find_spec", lambda name: None)
    for name in ("cifar100", "hf:ada/shapes"):
        with pytest.raises(InvalidArgument, match="by name where the service is installed"):
            read_import(Path(name))
    with pytest.raises(InvalidArgument, match="'config' is for sets of the Hugging Face hub"):
        read_import(Path("cifar100"), {"config": "large"})


def test_both_clients_import(client: Client, live_url: str, tmp_path: Path, pets: Path) -> None:
    made = client.import_dataset("pets", pets, side=6, colour="colour", test_share=0.4)
    assert (made.shape, made.class_names) == ([3, 6, 6], ["cat", "dog"])
    assert made.class_counts == {"train": [3, 3], "test": [2, 2]}

    async def scenario() -> int:
        async with AsyncClient(live_url) as remote:
            again = await remote.import_dataset("pets", pets, side=7, replace=True)
            return again.version

    assert asyncio.run(scenario()) == 2
    with pytest.raises(ProblemError, match="is registered with another file"):
        client.import_dataset("pets", pets, side=5)


def test_the_command_prints_classes_and_what_was_left_out(
    invoke: Invoke, live_url: str, tmp_path: Path
) -> None:
    table = tmp_path / "iris.csv"
    table.write_text(IRIS)
    url = ("--url", live_url)
    done = invoke("dataset", "import", str(table), "--name", "i", "--label", "species", *url)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "i: 2 features, 2 classes",
        "32 to train, 8 to test",
        "  setosa: 16 to train",
        "  virginica: 16 to train",
        "note: labels: column 'species'",
        "note: column 'colour' was left out: it holds text (line 2: 'blue')",
    ]
    table.write_text(IRIS + "1,,setosa,red\n")
    done = invoke("dataset", "import", str(table), "--name", "j", "--label", "species", *url)
    assert done.exit_code == 4
    assert "iris.csv: line 42, column 'width': the value is missing" in " ".join(
        done.stderr.split()
    )
    assert '"shape":' in invoke("dataset", "list", "--json", *url).stdout


def test_a_dry_run_prints_what_the_import_prints_and_stores_nothing(
    invoke: Invoke, client: Client, live_url: str, tmp_path: Path
) -> None:
    table = tmp_path / "iris.csv"
    table.write_text(IRIS)
    chosen = ("dataset", "import", str(table), "--label", "species", "--url", live_url)
    dry = invoke(*chosen, "--name", "dry", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "dry" not in [one.name for one in client.datasets()]
    real = invoke(*chosen, "--name", "dry")
    assert dry.stdout.splitlines() == real.stdout.splitlines()
    taken = invoke(*chosen, "--name", "dry", "--test-share", "0.5", "--dry-run")
    assert "conflict: 'dry' is registered with another file" in taken.stdout
    in_json = invoke(*chosen, "--name", "digits", "--dry-run", "--json")
    assert '"conflict":"\'digits\' is built in' in in_json.stdout.replace('": "', '":"')
    table.write_text(IRIS + "1,,setosa,red\n")
    assert invoke(*chosen, "--name", "wrong", "--dry-run").exit_code == 4


def test_both_clients_preview(client: Client, live_url: str, pets: Path) -> None:
    shown = client.preview_dataset("previewed", pets, side=6)
    assert (shown.dataset.shape, [one.label for one in shown.images]) == ([1, 6, 6], [0, 1])

    async def scenario() -> bool:
        async with AsyncClient(live_url) as remote:
            return await remote.preview_dataset("previewed", pets, side=6) == shown

    assert asyncio.run(scenario())
    assert "previewed" not in [one.name for one in client.datasets()]


def test_a_set_of_torchvision_is_imported_by_name_from_its_folder(
    client: Client, tmp_path: Path
) -> None:
    raw = tmp_path / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        write_idx(raw / f"{part}-images-idx3-ubyte", IMAGES)
        write_idx(raw / f"{part}-labels-idx1-ubyte", LABELS)
    assert "kmnist" in SETS
    found = client.import_dataset("japanese", "kmnist", folder=tmp_path)
    assert found.class_names is not None
    assert (found.shape, found.class_names[1]) == ([1, 28, 28], "ki")
    assert found.notes == ["torchvision's KMNIST"]
    assert found.class_counts == {
        part: np.bincount(LABELS, minlength=10).tolist() for part in ("train", "test")
    }


def test_a_set_of_the_hub_keeps_its_revision_in_the_notes(
    invoke: Invoke, client: Client, live_url: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / SHA, FILES)
    chosen = ("dataset", "import", "hf:ada/shapes", "--from", str(folder), "--url", live_url)
    options = ("--name", "shapes", "--label", "label", "--image", "image", "--side", "3")
    done = invoke(*chosen, *options, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "shapes" not in [one.name for one in client.datasets()]
    done = invoke(*chosen, *options)
    assert done.exit_code == 0, done.output
    (found,) = [one for one in client.datasets() if one.name == "shapes"]
    assert (found.shape, found.class_names) == ([1, 3, 3], CLASSES)
    assert list(found.notes) == [
        f"from hf:ada/shapes, config 'default', revision {SHA}",
        "train split 'train', test split 'test'",
    ]
    refused = invoke(*chosen, "--name", "wrong", "--label", "kind")
    assert refused.exit_code != 0
    assert "there is no column 'kind': --label label" in " ".join(refused.stderr.split())
    assert "wrong" not in [one.name for one in client.datasets()]
