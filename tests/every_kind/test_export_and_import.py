"""An experiment of every kind gives the same bytes after an import into another, empty service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.experiments.registry import kinds
from engine.result import is_statistic
from ops.ports import free_port
from richregime import Client
from richregime.exporting import ExportSource
from richregime.exporting.columns import result_columns
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.zip_files import unpack_zip
from tests.waiting import wait_until
from workers.execution import execute_run

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class ImportedExperiment:
    """An experiment in the service that computed it and in the service that imported it."""

    kind: str
    origin: httpx.Client
    original_id: str
    importer: httpx.Client
    copy_id: str
    export: bytes

    def export_copy(self) -> bytes:
        return self.importer.get(f"/experiments/{self.copy_id}/export").content

    def applies(self, plot: str) -> bool:
        listed = self.importer.get(f"/experiments/{self.copy_id}/plots").json()["items"]
        return any(one["name"] == plot and one["applies"] for one in listed)

    def read_both(self, path: str) -> tuple[bytes, bytes]:
        """Both services' responses for a path below the experiment, without its id."""
        found = []
        for http, experiment_id in ((self.origin, self.original_id), (self.importer, self.copy_id)):
            response = http.get(f"/experiments/{experiment_id}/{path}")
            assert response.status_code == 200, (path, response.text)
            found.append(response.content.replace(experiment_id.encode(), b"ID"))
        return found[0], found[1]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[ApiServer]:
    folder = tmp_path_factory.mktemp("origin")
    shutil.copyfile(sqlite_template, folder / "richregime.sqlite3")
    with serve_api(make_settings(folder)) as opened:
        yield opened


@pytest.fixture(scope="module")
def importer(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[httpx.Client]:
    """An empty service in its own process, with another order of hashes."""
    folder, port = tmp_path_factory.mktemp("importer"), free_port()
    shutil.copyfile(sqlite_template, folder / "richregime.sqlite3")
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "api.app", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "RICHREGIME_HOME": str(folder), "PYTHONHASHSEED": "12345"},
        stdout=log,
        stderr=log,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:

            def is_ready() -> bool:
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    return http.get("/healthz").is_success
                except httpx.TransportError:
                    return False

            wait_until(is_ready, 120)
            yield http
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


def list_kinds() -> list[Any]:
    """The quick tests use one kind, whose plots read files as well as numbers."""
    return [
        name if name == "activity_map" else pytest.param(name, marks=pytest.mark.slow)
        for name in kinds()
    ]


@pytest.fixture(scope="module", params=list_kinds())
def imported(
    request: pytest.FixtureRequest, origin: ApiServer, importer: httpx.Client
) -> ImportedExperiment:
    """The kind's example, smaller, with a sweep and several seeds, computed and imported."""
    kind = kinds()[request.param]
    small = {
        "data": {"name": "digits", "train_size": 128, "test_size": 64},
        "model": {"name": "relu_net", "width": 4, "depth": 2},
        "batch_size": 16,
    }
    sweep = kind.example.get("sweep", {"optimizer.lr": [0.001, 0.01]})
    body = {
        "spec": {**kind.example["spec"], **small},
        "sweep": {"model.width": [4, 6]} if "model.width" in sweep else sweep,
        "seeds": [0, 1, 2],
        "name": "moves to another service",
    }
    experiment_id = str(origin.submit(body)["id"])
    while (claim := origin.claim_run(experiment_id)) is not None:
        execute_run(origin.db, origin.blobs, origin.settings, claim, "cpu", lambda: False)
    assert origin.get(f"/experiments/{experiment_id}")["status"] == "succeeded"
    export = origin.http.get(f"/experiments/{experiment_id}/export").content
    response = importer.post("/import", content=export, headers={"content-type": "application/zip"})
    assert response.status_code == 201, response.text
    return ImportedExperiment(
        kind.name, origin.http, experiment_id, importer, response.json()["id"], export
    )


def test_every_plot_is_redrawn_byte_for_byte(imported: ImportedExperiment) -> None:
    """The exports of both services hold equal pictures; other plots have equal numbers."""
    first, second = unpack_zip(imported.export), unpack_zip(imported.export_copy())
    drawn = [name for name in first if name.startswith("plots/")]
    for name in drawn:
        assert first[name] == second[name], name
    for plot in kinds()[imported.kind].plots:
        if not imported.applies(plot.name):
            continue
        if not plot.default:
            original, copy = imported.read_both(f"plots/{plot.name}.json")
            assert original == copy, plot.name
        endings = {Path(name).suffix for name in drawn if Path(name).stem == plot.name}
        assert not plot.default or {".png", ".svg", ".pdf", ".json"} <= endings


def test_the_tables_of_an_export_are_those_of_the_service(imported: ImportedExperiment) -> None:
    """Both services export the bytes that a request for the table returns."""
    exports = unpack_zip(imported.export), unpack_zip(imported.export_copy())
    comparison = imported.origin.get(f"/experiments/{imported.original_id}/comparison").json()
    tables = {
        "results": "result.{}",
        **({"claims": "comparison.{}"} if comparison["verdicts"] else {}),
        **({"published": "comparison.{}?table=published"} if comparison["published"] else {}),
    }
    found = {name.partition(".")[0] for name in exports[0] if name.endswith(".tex")}
    assert found == set(tables)
    for name, path in tables.items():
        for ending in ("csv", "tex", "md"):
            requested = imported.read_both(path.format(ending))
            for export, bytes_of_request in zip(exports, requested, strict=True):
                assert export[f"{name}.{ending}"] == bytes_of_request, f"{name}.{ending}"


def test_every_number_is_returned_byte_for_byte(imported: ImportedExperiment) -> None:
    for path in ("result", "metrics", "metrics?aggregate=true", "metrics?format=csv", "comparison"):
        original, copy = imported.read_both(path)
        assert original == copy, path
    assert imported.read_both("difference?point=1&baseline=0")[0]


def test_the_table_of_results_has_a_row_for_every_statistic(imported: ImportedExperiment) -> None:
    with Client(str(imported.origin.base_url)) as client:
        result = client.result(imported.original_id)
        source = ExportSource(
            client.get(imported.original_id),
            [*client.runs(imported.original_id)],
            client.metrics(imported.original_id),
            result,
        )
    columns = result_columns(source)
    points = [point.model_dump(mode="json") for point in result.points]
    assert columns["mean"] == [one["mean"] for one in list_statistics(points)]
    assert len({*zip(*columns.values(), strict=True)}) == len(columns["mean"]), "rows are distinct"


def list_statistics(value: Any) -> Iterator[Mapping[str, Any]]:
    """All statistics inside `value`, in order."""
    if is_statistic(value):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from list_statistics(inner)
