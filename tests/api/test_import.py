"""Import of an exported zip archive: equal results; invalid archives are refused."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.experiments.import_bundle import import_bundle
from engine.experiments.registry import get_kind
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.zip_files import pack_zip, unpack_zip

BODY = {
    "spec": {"kind": "train", "epochs": 3},
    "sweep": {"model.width": [10, 20]},
    "seeds": [0, 1],
    "name": "moves house",
    "labels": {"paper": "fig4"},
}


@pytest.fixture(scope="module")
def exported(api_server: ApiServer) -> tuple[str, bytes]:
    """A succeeded experiment and its zip archive with all files."""
    experiment_id = str(api_server.submit(BODY)["id"])
    api_server.finish_all_runs(experiment_id)
    response = api_server.http.get(f"/experiments/{experiment_id}/export", params={"files": True})
    return experiment_id, response.content


@pytest.fixture(scope="module")
def elsewhere(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[ApiServer]:
    """Another service, which accepts zip archives up to 400 kB."""
    home = tmp_path_factory.mktemp("elsewhere")
    shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
    with serve_api(make_settings(home, max_import_bytes=400_000)) as opened:
        yield opened


def take_in(api_server: ApiServer, archive: bytes) -> Any:
    return api_server.http.post(
        "/import", content=archive, headers={"content-type": "application/zip"}
    )


def changed(archive: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The zip archive with a changed description and correct checksums."""
    entries = unpack_zip(archive)
    bundle = json.loads(entries["bundle.json"])
    change(bundle)
    return pack_zip({**entries, "bundle.json": json.dumps(bundle).encode()})


def test_an_imported_experiment_has_equal_plots_and_results(
    api_server: ApiServer, elsewhere: ApiServer, exported: tuple[str, bytes]
) -> None:
    before, archive = exported
    response = take_in(elsewhere, archive)
    assert response.status_code == 201, response.text
    after = response.json()["id"]
    assert response.json()["imported_from"] == before != after
    drawn = {name: data for name, data in unpack_zip(archive).items() if name.startswith("plots/")}
    plots = {plot.name for plot in get_kind("train").plots if plot.default}
    listed = elsewhere.get(f"/experiments/{after}/plots")["items"]
    applying = {one["name"] for one in listed if one["applies"]} & plots
    assert len(drawn) == 4 * len(applying)
    assert "sweep_quantity" in applying
    for name, data in drawn.items():
        imported = elsewhere.http.get(f"/experiments/{after}/{name}")
        if name.endswith(".json"):
            assert imported.json() == json.loads(data), name
        else:
            assert imported.content == data, name
    for path in ("result", "metrics", "metrics?format=csv", "comparison"):
        here, there = (
            one.http.get(f"/experiments/{id}/{path}").text.replace(id, "ID")
            for one, id in ((api_server, before), (elsewhere, after))
        )
        assert here == there, path
    run = elsewhere.get(f"/experiments/{after}/runs")["items"][0]
    (file,) = elsewhere.get(f"/runs/{run['id']}/checkpoints")["items"]
    data = elsewhere.http.get(f"/artifacts/{file['id']}").content
    assert hashlib.sha256(data).hexdigest() == file["sha256"]
    assert "Imported from another service" in elsewhere.http.get(f"/view/{after}").text


def test_importing_the_same_zip_twice_gives_one_experiment(
    elsewhere: ApiServer, exported: tuple[str, bytes]
) -> None:
    first = take_in(elsewhere, exported[1]).json()["id"]
    again = take_in(elsewhere, exported[1])
    assert (again.status_code, again.json()["id"]) == (200, first)


def packed_again(archive: bytes, top: str) -> bytes:
    """The archive unpacked and packed as macOS does; top: the name of the folder with a slash."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for folder in (top, f"{top}plots/", f"__MACOSX/{top}"):
            if folder:
                packed.writestr(folder, b"")
        for clutter in (f"{top}.DS_Store", f"{top}plots/.DS_Store", f"__MACOSX/{top}._plots"):
            packed.writestr(clutter, b"\0\0\0\1Bud1")
        packed.writestr(f"{top}._bundle.json", b"\0\5\x16\7")
        for name, data in unpack_zip(archive).items():
            packed.writestr(f"{top}{name}", data)
    return stream.getvalue()


@pytest.mark.parametrize("top", ["", "exp 1/"])
def test_an_export_that_was_unpacked_and_packed_again_is_imported(
    elsewhere: ApiServer, exported: tuple[str, bytes], top: str
) -> None:
    response = take_in(elsewhere, packed_again(exported[1], top))
    assert response.status_code == 201, response.text
    assert response.json()["imported_from"] == exported[0]
    assert_refused(elsewhere, packed_again(LIES["an entry that no sum names"](exported[1]), top))
    outside = {**unpack_zip(exported[1]), "__MACOSX/../../escaped": b"x"}
    assert_refused(elsewhere, pack_zip(outside, sums=False))


def test_an_imported_experiment_is_read_only_and_never_reused(
    elsewhere: ApiServer, exported: tuple[str, bytes]
) -> None:
    experiment_id = take_in(elsewhere, exported[1]).json()["id"]
    for action, body in (("retry", None), ("cancel", None), ("extend", {"seeds": [7]})):
        response = elsewhere.http.post(f"/experiments/{experiment_id}/{action}", json=body)
        assert response.status_code == 409, action
    preview = elsewhere.http.post("/experiments/preview", json=BODY).json()
    assert preview["reuses_experiment"] is None
    assert all(not point["reused_seeds"] for point in preview["points"])
    submitted = elsewhere.submit(BODY)
    assert submitted["id"] != experiment_id
    assert submitted["status"] == "queued"


def test_an_export_of_a_running_experiment_has_no_bundle(api_server: ApiServer) -> None:
    waiting = api_server.submit({"spec": {"kind": "train", "epochs": 8}, "reuse": False})["id"]
    archive = api_server.http.get(f"/experiments/{waiting}/export").content
    assert "bundle.json" not in unpack_zip(archive)
    response = take_in(api_server, archive)
    assert response.status_code == 422
    assert "bundle.json" in response.json()["detail"]


def renewed(archive: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The zip archive with another first file and its digest, and one more change."""
    entries, data = unpack_zip(archive), b"no store has this yet"
    bundle = json.loads(entries["bundle.json"])
    first = bundle["runs"][0]["files"][0]
    first |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    change(bundle)
    return pack_zip({**entries, first["path"]: data, "bundle.json": json.dumps(bundle).encode()})


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def assert_refused(
    api_server: ApiServer,
    archive: bytes,
    what: str = "",
    *,
    status: int = 422,
    code: str | None = None,
) -> None:
    """The import is refused with a problem, and no row, file or partial file is stored."""

    def stored() -> tuple[int, set[Path]]:
        files = {
            path for path in api_server.settings.resolved_blob_dir.rglob("*") if path.is_file()
        }
        return api_server.count_experiments(), files

    before = stored()
    response = take_in(api_server, archive)
    assert response.status_code == status, (what, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    assert code in (None, response.json()["code"])
    assert stored() == before, what


def set_in(*path: Any) -> Callable[[dict[str, Any]], None]:
    """A change that sets a value; the last element is the value, the others are its path."""

    def change(bundle: dict[str, Any]) -> None:
        *way, last, value = path
        for step in way:
            bundle = bundle[step]
        bundle[last] = value

    return change


METRICS_HEAD = b"point,seed,name,step,value\n"
LIES: dict[str, Callable[[bytes], bytes]] = {
    "no archive": lambda archive: b"PK" + archive[40:200],
    "cut off": lambda archive: archive[: len(archive) // 2],
    "metrics changed, sums not": lambda archive: pack_zip(
        {**unpack_zip(archive), "metrics.csv": b"point,seed,name,step,value\n"}, sums=False
    ),
    "an entry that no sum names": lambda archive: pack_zip(
        {**unpack_zip(archive), "more": b"more"}, sums=False
    ),
    "a sum without its entry": lambda archive: pack_zip(
        {name: data for name, data in unpack_zip(archive).items() if name != "result.json"},
        sums=False,
    ),
    "no description": lambda archive: pack_zip(
        {name: data for name, data in unpack_zip(archive).items() if name != "bundle.json"}
    ),
    "metrics of another run": lambda archive: pack_zip(
        {
            **unpack_zip(archive),
            "metrics.csv": b"point,seed,name,step,value\n0,99,test_accuracy,1,0.5\n",
        }
    ),
    "a metric that is no number": lambda archive: pack_zip(
        {
            **unpack_zip(archive),
            "metrics.csv": b"point,seed,name,step,value\n0,0,test_accuracy,1,nan\n",
        }
    ),
    "metrics on one line": lambda archive: pack_zip(
        {
            **unpack_zip(archive),
            "metrics.csv": METRICS_HEAD + b"0,0,test_accuracy,1,0." + b"5" * 2_000,
        }
    ),
    "a quotation without end": lambda archive: pack_zip(
        {
            **unpack_zip(archive),
            "metrics.csv": METRICS_HEAD + b'0,0,"' + b"test accuracy\n" * 20_000,
        }
    ),
    "another format": lambda archive: changed(archive, set_in("format", 2)),
    "an unknown kind": lambda archive: changed(archive, set_in("body", "spec", "kind", "nothing")),
    "a point of another kind": lambda archive: changed(
        archive, set_in("points", 0, "spec", {"kind": "lws"})
    ),
    "a spec that is wrong": lambda archive: changed(
        archive, set_in("points", 0, "spec", "epochs", -1)
    ),
    "a loss that no float32 can be": lambda archive: changed(
        archive, set_in("runs", 0, "result", 0, "train_loss", 1e101)
    ),
    "a metric that no float32 can be": lambda archive: pack_zip(
        {**unpack_zip(archive), "metrics.csv": METRICS_HEAD + b"0,0,test_accuracy,1,1e308\n"}
    ),
    "an accuracy above one": lambda archive: changed(
        archive, set_in("runs", 0, "result", 0, "test_accuracy", 1.5)
    ),
    "a result that is no result": lambda archive: changed(
        archive, set_in("runs", 0, "result", 0, "x", 1)
    ),
    "a seed that was not submitted": lambda archive: changed(
        archive, set_in("runs", 0, "seeds", [9])
    ),
    "a point that is not there": lambda archive: changed(archive, set_in("runs", 0, "point", 7)),
    "a run still under way": lambda archive: changed(
        archive, set_in("runs", 0, "status", "running")
    ),
    "a run with another's cells": lambda archive: changed(
        archive, lambda bundle: bundle["runs"].append(bundle["runs"][0])
    ),
    "a file that is another": lambda archive: changed(
        archive, set_in("runs", 0, "files", 0, "path", "metrics.csv")
    ),
    "a file that is not there": lambda archive: changed(
        archive, set_in("runs", 0, "files", 0, "path", "/etc/passwd")
    ),
    "a sound new file, then one that is another": lambda archive: renewed(
        archive, set_in("runs", -1, "files", 0, "sha256", "0" * 64)
    ),
    "a sound new file, and metrics that are none": lambda archive: pack_zip(
        {**unpack_zip(renewed(archive, lambda bundle: None)), "metrics.csv": b"none"}
    ),
    "a name with a path in it": lambda archive: changed(
        archive, set_in("runs", 0, "files", 0, "name", "../../theta")
    ),
    "a media type with a header in it": lambda archive: changed(
        archive, set_in("runs", 0, "files", 0, "media_type", "text/html\r\nX: y")
    ),
    "text no database stores": lambda archive: changed(archive, set_in("body", "name", "a\0b")),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_invalid_zip_is_refused_and_nothing_is_stored(
    elsewhere: ApiServer, exported: tuple[str, bytes], lie: str
) -> None:
    assert_refused(elsewhere, LIES[lie](exported[1]))


def test_the_metrics_of_a_zip_are_read_one_by_one(
    elsewhere: ApiServer, exported: tuple[str, bytes], tmp_path: Path
) -> None:
    lines = [f"0,0,train_loss,{step},0.{step:07}" for step in range(50_000)]
    metrics = METRICS_HEAD + "\n".join(lines).encode()
    path = tmp_path / "archive.zip"
    path.write_bytes(pack_zip({**unpack_zip(exported[1]), "metrics.csv": metrics}))
    tracemalloc.start()
    _, is_new = import_bundle(
        elsewhere.db, elsewhere.blobs, elsewhere.settings, path, lambda *_: None
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert is_new
    assert peak < 6 * len(metrics), (
        "as objects they are some fifteen times as large as in the archive"
    )


def test_the_last_of_several_metrics_of_one_step_is_stored(
    elsewhere: ApiServer, exported: tuple[str, bytes]
) -> None:
    metrics = METRICS_HEAD + b"0,0,test_accuracy,1,0.25\n0,0,test_accuracy,1,0.75\n"
    response = take_in(elsewhere, pack_zip({**unpack_zip(exported[1]), "metrics.csv": metrics}))
    assert response.status_code == 201, response.text
    response = elsewhere.http.get(
        f"/experiments/{response.json()['id']}/metrics", params={"format": "csv"}
    )
    assert response.text.splitlines() == ["point,seed,name,step,value", "0,0,test_accuracy,1,0.75"]


def test_a_changed_byte_in_any_entry_is_refused(
    elsewhere: ApiServer, exported: tuple[str, bytes]
) -> None:
    """The byte is changed before the entry is packed, or in the packed zip."""
    entries = unpack_zip(exported[1])
    assert len(entries) > 20
    for name, data in entries.items():
        flipped = flip(data, len(data) // 2)
        assert_refused(elsewhere, pack_zip({**entries, name: flipped}, sums=False), name)
    with zipfile.ZipFile(io.BytesIO(exported[1])) as opened:
        middles = [
            entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2
            for entry in opened.filelist
        ]
    for name, place in zip(entries, middles, strict=True):
        assert_refused(elsewhere, flip(exported[1], place), name)


def test_a_zip_without_any_one_entry_is_refused(
    elsewhere: ApiServer, exported: tuple[str, bytes]
) -> None:
    entries = unpack_zip(exported[1])
    for name in entries:
        rest = {other: data for other, data in entries.items() if other != name}
        assert_refused(elsewhere, pack_zip(rest, sums=False), name)
    needed = [
        name
        for name in entries
        if name in {"bundle.json", "metrics.csv"} or name.startswith("files/")
    ]
    assert len(needed) > 3
    for name in needed:
        rest = {other: data for other, data in entries.items() if other != name}
        assert_refused(elsewhere, pack_zip(rest), name)


def test_a_zip_bomb_is_refused(elsewhere: ApiServer, exported: tuple[str, bytes]) -> None:
    bomb = pack_zip({**unpack_zip(exported[1]), "zeros": bytes(10_000_000)})
    assert len(bomb) < 400_000
    for archive in (bomb, bytes(500_000)):
        assert_refused(elsewhere, archive, status=413, code="payload-too-large")


@pytest.mark.parametrize(
    "name",
    [
        "../../escaped",
        "/tmp/escaped",
        "plots/../../escaped",
        "C:/escaped",
        "..\\escaped",
        "~/escaped",
        "..",
    ],
)
def test_an_entry_outside_the_folder_is_refused(
    elsewhere: ApiServer, exported: tuple[str, bytes], name: str
) -> None:
    assert_refused(elsewhere, pack_zip({**unpack_zip(exported[1]), name: b"x"}))
    assert not list(elsewhere.settings.home.parent.rglob("escaped"))
    with_dots = pack_zip({**unpack_zip(exported[1]), "plots/a..b": b"x"})
    assert take_in(elsewhere, with_dots).status_code in (200, 201)
