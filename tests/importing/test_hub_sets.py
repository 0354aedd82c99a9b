"""Sets of the Hugging Face hub become data sets, from a folder and from a server with its API."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from engine.data.importing import hub_files
from engine.data.importing import images as importing_images
from engine.data.importing.hub_files import HubChoices
from engine.data.importing.hub_sets import read_hub_set
from engine.data.importing.imported import Imported
from engine.data.importing.options import ImportOptions
from engine.data.npz import NpzLimits, inspect_npz
from engine.errors import DatasetUnavailable, EngineError, InvalidSpec
from ops.convert_set import main

SET = "hf:ada/shapes"
SHA, CONVERTED_SHA = "a" * 40, "c" * 40
CLASSES = ["square", "circle", "star"]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SHARDS = "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"


def picture(value: int, size: tuple[int, int] = (4, 6), mode: str = "L") -> dict[str, Any]:
    stream = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value, 0, 255)).save(stream, "png")
    return {"bytes": stream.getvalue(), "path": None}


def as_parquet(table: pa.Table, features: Mapping[str, Any] | None = None) -> bytes:
    """A Parquet file as the library `datasets` writes it."""
    if features is not None:
        metadata = json.dumps({"info": {"features": features}}).encode()
        table = table.replace_schema_metadata({"huggingface": metadata})
    stream = io.BytesIO()
    parquet.write_table(table, stream)
    return stream.getvalue()


def images(values: list[int], labels: list[int | None], **changes: Any) -> bytes:
    cells = changes.get("cells", [picture(value) for value in values])
    table = pa.table({"image": pa.array(cells, IMAGE), "label": pa.array(labels, pa.int64())})
    features = {"image": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}
    return as_parquet(table, changes.get("features", features))


def numbers(count: int, **columns: Any) -> bytes:
    given = {
        "width": np.arange(count) / 4,
        "note": ["text"] * count,
        "kind": [("b", "a")[row % 2] for row in range(count)],
    }
    return as_parquet(pa.table({**given, **columns}))


FILES = {
    SHARDS[0]: images([10, 20, 30], [0, 1, 2]),
    SHARDS[1]: images([40, 50], [0, 1]),
    "data/test-00000-of-00001.parquet": images([60, 70], [2, 0]),
    "README.md": b"---\nlicense: mit\n---\n# Shapes\n",
    "shapes.py": b"raise SystemExit('code of a set must never run')",
}


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(folder: Path, files: Mapping[str, bytes], **given: Any) -> Imported:
    chosen = {name: given.pop(name, None) for name in ("image", "config", "train", "test")}
    options = ImportOptions(**given)
    return read_hub_set(SET, options, HubChoices(**chosen), folder=write(folder, files))


def test_images_keep_their_splits_order_and_class_names(tmp_path: Path) -> None:
    folder = tmp_path / SHA
    found = read(folder, FILES)
    assert found.x_train.shape == (5, 6, 4)
    assert found.x_train[:, 0, 0].tolist() == [10, 20, 30, 40, 50]
    assert found.y_train.tolist() == [0, 1, 2, 0, 1]
    assert (found.x_test[:, 5, 3].tolist(), found.y_test.tolist()) == ([60, 70], [2, 0])
    assert found.class_names == ("square", "circle", "star")
    assert found.notes == (
        f"from hf:ada/shapes, config 'default', revision {SHA}",
        "train split 'train', test split 'test'",
    )


def test_images_are_scaled_and_a_test_set_is_drawn_where_there_is_none(tmp_path: Path) -> None:
    sizes = [picture(value, (4 + value % 3, 7), "RGB") for value in range(12)]
    only_train = {"train.parquet": images([], [row % 3 for row in range(12)], cells=sizes)}
    found = read(tmp_path, only_train, side=5, colour="colour", test_share=0.5, seed=1)
    assert (found.x_train.shape, found.x_test.shape) == ((6, 5, 5, 3), (6, 5, 5, 3))
    assert sorted(found.y_train.tolist()) == sorted(found.y_test.tolist()) == [0, 0, 1, 1, 2, 2]
    assert found.notes[1] == "train split 'train', test set drawn from it"
    with pytest.raises(InvalidSpec, match=r"row 1 has 4x7 pixels, split 'train', row 2 5x7"):
        read(tmp_path, only_train)


def test_a_table_of_numbers_becomes_features(tmp_path: Path) -> None:
    files = {"data/train.parquet": numbers(10), "data/validation.parquet": numbers(4)}
    found = read(tmp_path, files, label="kind")
    assert (found.feature_names, found.class_names) == (("width",), ("a", "b"))
    assert found.x_train[:, 0].tolist() == [row / 4 for row in range(10)]
    assert found.y_test.tolist() == [1, 0, 1, 0]
    assert found.notes[1:] == (
        "train split 'train', test split 'validation'",
        "labels: column 'kind'",
        "column 'note' was left out: it holds text (split 'train', row 1: 'text')",
    )
    found.write(tmp_path / "out.npz")
    assert inspect_npz(tmp_path / "out.npz").feature_names == ("width",)


def test_class_labels_of_a_table_keep_the_order_of_their_names(tmp_path: Path) -> None:
    table = pa.table({"x": np.arange(4.0), "y": [2, 0, 2, 0]})
    features = {"y": {"names": CLASSES, "_type": "ClassLabel"}}
    found = read(tmp_path, {"train.parquet": as_parquet(table, features)}, test_share=0.5)
    assert found.class_names == ("square", "star")
    assert sorted(found.y_train.tolist()) == [0, 1]


@pytest.mark.parametrize(
    ("paths", "config", "splits"),
    [
        (["train.parquet", "test.parquet"], "default", {"train": 1, "test": 1}),
        ([*SHARDS, "data/test-00000-of-00001-0a1b.parquet"], "default", {"train": 2, "test": 1}),
        (["en/train-00000-of-00001.parquet", "de/train.parquet"], "en", {"train": 1}),
        (["en/train/0000.parquet", "en/train/0001.parquet"], "en", {"train": 2}),
        (["en/partial-train/0000.parquet"], "en", {"train": 1}),
        (["data/train/train-00000-of-00001.parquet"], "default", {"train": 1}),
    ],
)
def test_configs_and_splits_are_found_in_the_paths(
    paths: list[str], config: str, splits: dict[str, int]
) -> None:
    found = hub_files.Repository(dict.fromkeys(paths, Path), {}, None, None)
    chosen = HubChoices(config=config if config == "en" else None)
    name, by_split = hub_files.choose_config(found, chosen, ImportOptions())
    assert (name, {split: len(files) for split, files in by_split.items()}) == (config, splits)


def test_the_card_tells_where_files_of_other_names_are(tmp_path: Path) -> None:
    card = (
        "---\nconfigs:\n- config_name: plain\n  data_files:\n"
        "  - split: train\n    path: parts/first*\n"
        "  - split: test\n    path: [parts/last.parquet]\n"
        "---\n"
    )
    files = {
        "README.md": card.encode(),
        "parts/first_a.parquet": FILES[SHARDS[0]],
        "parts/first_b.parquet": FILES[SHARDS[1]],
        "parts/last.parquet": FILES["data/test-00000-of-00001.parquet"],
    }
    found = read(tmp_path, files)
    assert (len(found.x_train), len(found.x_test)) == (5, 2)
    assert found.notes[0] == "from hf:ada/shapes, config 'plain', revision unknown"


BROKEN = {"bytes": b"no image", "path": None}
ELSEWHERE = {"bytes": None, "path": "/etc/passwd"}
TWO = {"a/train.parquet": FILES[SHARDS[0]], "b/train.parquet": FILES[SHARDS[0]]}


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [
        ({"shapes.csv": b"a,b"}, {}, "there are no Parquet files"),
        (FILES, {"config": "large"}, "there is no config 'large': --config default"),
        (TWO, {}, r"choose one: --config a \| b"),
        (FILES, {"train": "all"}, r"there is no split 'all': --split-train test \| train"),
        (FILES, {"test": "dev"}, r"there is no split 'dev': --split-test test \| train"),
        (FILES, {"label": "kind"}, "there is no column 'kind': --label label"),
        (FILES, {"image": "photo"}, "there is no column 'photo': --image image, label"),
        (FILES, {"image": "label"}, "split 'train', row 1: no image is stored in the column"),
        ({"train.parquet": numbers(9)}, {}, "choose the column of labels: --label width, note, k"),
        ({SHARDS[0]: FILES[SHARDS[0]]}, {}, "split 'train' has 2 files, of which 1 are here"),
        ({"train.parquet": b"PAR1 broken"}, {}, "train.parquet: "),
        ({"train.parquet": images([1, 2], [0, -1])}, {}, "row 2: the label is -1, which stands"),
        ({"train.parquet": images([1, 2], [0, 7])}, {}, "row 2: the label is 7, which stands"),
        ({"train.parquet": images([1, 2], [None, 1])}, {}, "row 1: the label is missing"),
        (
            {"train.parquet": images([], [0, 1], cells=[picture(1), BROKEN])},
            {},
            "row 2: no image that can be read",
        ),
        (
            {"train.parquet": images([], [0, 1], cells=[ELSEWHERE, None])},
            {},
            "row 1: no image is stored in the column.*row 2: no image is stored",
        ),
        (
            {"train.parquet": images([1, 2], [0, 1]), "test.parquet": images([3], [2])},
            {},
            "class 'star' has no example to train on",
        ),
        (
            {"train.parquet": images([1, 2], [0, 1]), "test.parquet": numbers(3)},
            {},
            "do not all have the same columns",
        ),
        (FILES, {"limits": NpzLimits(max_bytes=100)}, "7 images of 4x6 take 168 bytes"),
    ],
)
def test_what_is_wrong_is_told(
    tmp_path: Path, files: dict[str, bytes], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidSpec, match=message) as caught:
        read(tmp_path, files, **given)
    assert "hf:ada/shapes: " in str(caught.value)


def test_too_much_to_download_is_refused_before_any_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_files, "MAX_DOWNLOAD", 100)
    with pytest.raises(InvalidSpec, match=r"take [\d,]+ bytes; the limit is 100: choose a smaller"):
        read(tmp_path, FILES)


def test_cells_have_the_limits_of_image_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing_images, "MAX_PIXELS", 23)
    with pytest.raises(InvalidSpec, match="split 'train', row 1: 4x6 pixels are too many"):
        read(tmp_path, FILES)
    monkeypatch.setattr(importing_images, "MAX_IMAGE_BYTES", 10)
    with pytest.raises(InvalidSpec, match=r"split 'test', row 2: [\d,]+ bytes are too many"):
        read(tmp_path, FILES)


@dataclass
class Hub:
    """A server with the part of the hub's API that is used."""

    url: str = ""
    revisions: dict[str, tuple[str, dict[str, bytes]]] = field(default_factory=dict)
    """Commit and files of `main` and other revisions"""
    refusal: tuple[int, str] | None = None
    """Status and error code of every response"""
    requested: list[str] = field(default_factory=list)

    def respond(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.requested.append(path)
        if self.refusal is not None:
            return self.refusal[0], {"X-Error-Code": self.refusal[1]}, b"{}"
        if not path.startswith(("/api/datasets/ada/shapes", "/datasets/ada/shapes/")):
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if path.startswith("/api/"):
            name = path.removeprefix("/api/datasets/ada/shapes").removeprefix("/revision/")
            return self._describe(name or "main")
        commit, _, file = path.removeprefix("/datasets/ada/shapes/resolve/").partition("/")
        content = next(files for sha, files in self.revisions.values() if sha == commit)[file]
        etag = hashlib.sha256(content).hexdigest()
        return 200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}, content

    def _describe(self, name: str) -> tuple[int, dict[str, str], bytes]:
        if name not in self.revisions:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        sha, files = self.revisions[name]
        siblings = [{"rfilename": file, "size": len(content)} for file, content in files.items()]
        body = {"id": "ada/shapes", "sha": sha, "siblings": siblings, "cardData": {}}
        return 200, {"content-type": "application/json"}, json.dumps(body).encode()


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = made.respond(unquote(urlsplit(self.path).path))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *given: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        yield made
        server.shutdown()
        thread.join()


def convert(
    hub: Hub, folder: Path, *arguments: str, name: str = SET, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hub"), **more}
    environment |= {"RICHREGIME_HOME": str(folder / "home")}
    out = [str(folder / "out.npz"), "--notes", str(folder / "notes.json")]
    return subprocess.run(
        [sys.executable, "-m", "ops.convert_set", name, *out, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_set_is_downloaded_with_its_revision_and_runs_no_code(hub: Hub, tmp_path: Path) -> None:
    hub.revisions["main"] = SHA, FILES
    done = convert(hub, tmp_path, "--download")
    assert done.returncode == 0, done.stderr
    info = inspect_npz(tmp_path / "out.npz")
    assert (info.shape, info.train_counts, info.test_counts) == ((1, 6, 4), (2, 2, 1), (1, 0, 1))
    assert info.class_names == tuple(CLASSES)
    assert json.loads((tmp_path / "notes.json").read_text()) == [
        f"from hf:ada/shapes, config 'default', revision {SHA}",
        "train split 'train', test split 'test'",
    ]
    assert not [path for path in hub.requested if path.endswith(".py")]
    fetched = [path for path in hub.requested if path.endswith(".parquet")]
    first = (tmp_path / "out.npz").read_bytes()
    again = convert(hub, tmp_path, "--download", "--side=3", name=f"{SET}@main")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out.npz").read_bytes() != first
    assert [path for path in hub.requested if path.endswith(".parquet")] == fetched  # the cache


def test_a_set_without_parquet_files_is_read_as_the_hub_converted_it(
    hub: Hub, tmp_path: Path
) -> None:
    hub.revisions["main"] = SHA, {"shapes.py": FILES["shapes.py"]}
    refused = convert(hub, tmp_path, "--download")
    assert refused.returncode == 1
    assert "holds no Parquet files, and the hub has not converted it" in refused.stderr
    assert "code of a set is never run" in refused.stderr
    hub.revisions["refs/convert/parquet"] = (
        CONVERTED_SHA,
        {f"plain/{part}/0000.parquet": FILES[SHARDS[0]] for part in ("train", "test")},
    )
    done = convert(hub, tmp_path, "--download")
    assert done.returncode == 0, done.stderr
    notes = json.loads((tmp_path / "notes.json").read_text())
    assert notes[0] == f"from hf:ada/shapes, config 'plain', revision {CONVERTED_SHA}"


@pytest.mark.parametrize(
    ("refusal", "name", "message"),
    [
        (None, "hf:ada/nothing", "the hub has no set 'ada/nothing', or it is private"),
        ((401, ""), SET, "the hub has no set 'ada/shapes', or it is private"),
        ((401, "GatedRepo"), SET, "hf:ada/shapes is gated: accept its terms on its page"),
        ((403, "GatedRepo"), SET, "hf:ada/shapes is gated: accept its terms on its page"),
        ((500, ""), SET, "hf:ada/shapes: the hub cannot be read: "),
        (None, f"{SET}@v9", "hf:ada/shapes has no revision 'v9'"),
        (None, "hf:shapes", "'hf:shapes' is no set of the hub: hf:OWNER/NAME"),
    ],
)
def test_a_refusal_of_the_hub_is_told_and_nothing_is_written(
    hub: Hub, tmp_path: Path, refusal: tuple[int, str] | None, name: str, message: str
) -> None:
    hub.revisions["main"] = SHA, FILES
    hub.refusal = refusal
    done = convert(hub, tmp_path, "--download", name=name)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.npz").exists()


def test_nothing_is_downloaded_unless_it_is_chosen_and_allowed(hub: Hub, tmp_path: Path) -> None:
    hub.revisions["main"] = SHA, FILES
    refused = convert(hub, tmp_path)
    assert "--download lets huggingface_hub download it, --from names a folder" in refused.stderr
    refused = convert(hub, tmp_path, "--download", RICHREGIME_ALLOW_DOWNLOAD="false")
    assert "downloads are switched off (RICHREGIME_ALLOW_DOWNLOAD)" in refused.stderr
    assert hub.requested == []
    refused = convert(hub, tmp_path, "--download", HF_HUB_OFFLINE="1")
    assert (refused.returncode, hub.requested) == (1, [])
    assert "the hub cannot be read: " in refused.stderr


def test_a_hub_that_is_gone_is_told(tmp_path: Path) -> None:
    gone = Hub("http://127.0.0.1:9")
    done = convert(gone, tmp_path, "--download")
    assert done.returncode == 1
    assert "hf:ada/shapes: the hub cannot be read: " in done.stderr
    assert "Traceback" not in done.stderr


def test_where_the_extra_is_missing_the_command_that_installs_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DatasetUnavailable, match="-m pip install huggingface_hub pyarrow"):
        read(tmp_path, FILES)


def test_wrong_choices_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--side=0"], ["--test-share=1"], ["--seed=-1"]):
        with pytest.raises(SystemExit):
            main([SET, str(tmp_path / "out"), *wrong])
        assert "must be" in capsys.readouterr().err
    with pytest.raises(EngineError, match="does not exist"):
        read_hub_set(SET, ImportOptions(), folder=tmp_path / "nothing")
