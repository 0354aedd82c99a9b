"""Exports to experiment trackers, opened again with their own libraries, equal the API's values."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest

from richregime import Client, ExportFailed
from tests.api.api_server import ApiServer, make_settings, serve_api

pytestmark = [pytest.mark.trackers, pytest.mark.timeout(600)]

BODY: dict[str, Any] = {
    "spec": {"kind": "train", "epochs": 3},
    "sweep": {"model.width": [10, 200]},
    "seeds": [0, 3],
    "name": "Figure 2: <a & b>",
    "labels": {"paper": "fig2"},
}
Found = dict[tuple[int, int], dict[tuple[str, int], float | None]]
"""Values by name and step, of each point and seed; None for one that is not finite"""
BLOCK = 32 * 1024
READ_TRACKIO = """
import json, sys, trackio
from trackio.sqlite_storage import SQLiteStorage
runs = trackio.Api().runs("richregime")
print(json.dumps([[one.config, SQLiteStorage.get_logs("richregime", one.name)] for one in runs]))
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[ApiServer]:
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
    with serve_api(make_settings(home)) as opened:
        yield opened


@pytest.fixture(scope="module")
def experiment(api: ApiServer) -> tuple[Client, str]:
    """An experiment with a value that is not finite."""
    client = Client(str(api.http.base_url))
    made = client.submit(BODY).id
    api.finish_all_runs(made)
    return client, made


def expected(client: Client, experiment_id: str) -> Found:
    found: Found = {}
    for item in client.metrics(experiment_id).items:
        found.setdefault((item.point, item.seed), {})[item.name, item.step] = item.value
    assert any(value is None for values in found.values() for value in values.values())
    assert len(found) == 4
    return found


def cell_of(config: dict[str, Any]) -> tuple[int, int]:
    """Point and seed from the exported spec."""
    return [10, 200].index(int(config["model.width"])), int(config["seed"])


def finite(value: Any) -> float | None:
    return None if isnan(float(value)) else float(value)


def read_mlflow(folder: Path) -> Found:
    client = import_module("mlflow").MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    (one,) = [one for one in client.search_experiments() if one.name != "Default"]
    assert one.name.startswith("Figure 2: <a & b> (exp_")
    found: Found = {}
    for run in client.search_runs([one.experiment_id]):
        assert run.info.status == "FINISHED"
        assert run.data.tags["label.paper"] == "fig2"
        assert len(run.data.tags["richregime.digest"]) >= 16
        assert run.data.params["kind"] == "train"
        cell = found.setdefault(cell_of(run.data.params), {})
        for name in run.data.metrics:
            for item in client.get_metric_history(run.info.run_id, name):
                cell[name, item.step] = finite(item.value)
    return found


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a file `.wandb`: blocks of 32 KiB with parts (checksum, length, type)."""
    data, at = path.read_bytes(), 7
    parts = b""
    while at + 7 <= len(data):
        left = BLOCK - at % BLOCK
        if left < 7:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def read_wandb(folder: Path) -> Found:
    messages = import_module("wandb.proto.wandb_internal_pb2")
    found: Found = {}
    for path in (folder / "wandb").glob("offline-run-*/*.wandb"):
        config: dict[str, Any] = {}
        values: dict[tuple[str, int], float | None] = {}
        for data in read_records(path):
            record = messages.Record.FromString(data)
            if record.HasField("run"):
                assert record.run.run_group.startswith("Figure 2: <a & b> (exp_")
                assert record.run.project == "richregime"
                assert {"train", "fig2", "succeeded"} <= set(record.run.tags)
                config |= {
                    item.key or ".".join(item.nested_key): json.loads(item.value_json)
                    for item in record.run.config.update
                }
            elif record.HasField("history"):
                row = {
                    item.key or ".".join(item.nested_key): json.loads(item.value_json)
                    for item in record.history.item
                }
                step = record.history.step.num
                values |= {
                    (name, step): finite(value)
                    for name, value in row.items()
                    if not name.startswith("_")
                }
        found[cell_of(config)] = values
    return found


def read_trackio(folder: Path) -> Found:
    done = subprocess.run(
        [sys.executable, "-c", READ_TRACKIO],
        env={**os.environ, "TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: Found = {}
    for config, rows in json.loads(done.stdout.splitlines()[-1]):
        assert config["_Group"].startswith("Figure 2: <a & b> (exp_")
        assert config["label.paper"] == "fig2"
        found[cell_of(config)] = {
            (name, row["step"]): finite(nan if value is None else value)
            for row in rows
            for name, value in row.items()
            if name not in ("step", "timestamp")
        }
    return found


READERS: dict[str, Callable[[Path], Found]] = {
    "mlflow": read_mlflow,
    "trackio": read_trackio,
    "wandb-offline": read_wandb,
}


@pytest.mark.parametrize("table_format", READERS)
def test_an_export_has_every_value_and_a_second_one_replaces_it(
    experiment: tuple[Client, str], tmp_path: Path, table_format: Any
) -> None:
    client, made = experiment
    for _ in range(2):
        written = client.export_tables(made, tmp_path, table_format=table_format)
        assert written
        assert all(path.exists() for path in written)
        assert READERS[table_format](tmp_path) == expected(client, made)


@pytest.mark.parametrize("table_format", READERS)
def test_an_export_needs_no_network_and_no_settings_of_the_caller(
    experiment: tuple[Client, str],
    tmp_path: Path,
    table_format: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, made = experiment
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_PROJECT", "other")
    monkeypatch.setenv("TRACKIO_SERVER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    client.export_tables(made, tmp_path, table_format=table_format)
    assert READERS[table_format](tmp_path) == expected(client, made)


def test_a_library_that_fails_is_told(experiment: tuple[Client, str], tmp_path: Path) -> None:
    client, made = experiment
    (tmp_path / "richregime.db").write_bytes(b"no database")
    with pytest.raises(ExportFailed, match="trackio could not write into"):
        client.export_tables(made, tmp_path, table_format="trackio")
