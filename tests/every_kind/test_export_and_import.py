"""Every kind, computed in one place, says and draws the same bytes after an import into an empty home elsewhere."""

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

from api.web.wording import is_statistic
from engine.experiments.registry import kinds
from ops.demo import free_port
from richregime import Client
from richregime.exporting import ExportSource
from richregime.exporting.columns import result_columns
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.zip_files import unpack_zip
from tests.waiting import wait_until
from workers.execution import execute_run

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Moved:
    """An experiment at home and, imported, abroad."""

    kind: str
    home: httpx.Client
    home_id: str
    abroad: httpx.Client
    abroad_id: str
    archive: bytes

    def export_abroad(self) -> bytes:
        return self.abroad.get(f"/experiments/{self.abroad_id}/export").content

    def read_both(self, path: str) -> tuple[bytes, bytes]:
        """What both answer at a path below the experiment, its own id left out."""
        found = []
        for http, experiment_id in ((self.home, self.home_id), (self.abroad, self.abroad_id)):
            answer = http.get(f"/experiments/{experiment_id}/{path}")
            assert answer.status_code == 200, (path, answer.text)
            found.append(answer.content.replace(experiment_id.encode(), b"ID"))
        return found[0], found[1]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[ApiServer]:
    folder = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, folder / "richregime.sqlite3")
    with serve_api(make_settings(folder, threads_per_run=1)) as opened:
        yield opened


@pytest.fixture(scope="module")
def abroad(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[httpx.Client]:
    """A service in a process of its own, whose sets and hashes have another order; nothing is in its home."""
    folder, port = tmp_path_factory.mktemp("abroad"), free_port()
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

            def answers() -> bool:
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    return http.get("/healthz").is_success
                except httpx.TransportError:
                    return False

            wait_until(answers, 120)
            yield http
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


def list_kinds() -> list[Any]:
    """One whose plots read files as well as numbers stands for all in the quick tests."""
    return [
        name if name == "activity_map" else pytest.param(name, marks=pytest.mark.slow)
        for name in kinds()
    ]


@pytest.fixture(scope="module", params=list_kinds())
def moved(request: pytest.FixtureRequest, home: ApiServer, abroad: httpx.Client) -> Moved:
    """The kind's example, smaller, swept and of several seeds."""
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
        "name": "moves house",
    }
    experiment_id = str(home.submit(body)["id"])
    while (claim := home.claim_run(experiment_id)) is not None:
        execute_run(home.db, home.blobs, home.settings, claim, "cpu", lambda: False)
    assert home.get(f"/experiments/{experiment_id}")["status"] == "succeeded"
    archive = home.http.get(f"/experiments/{experiment_id}/export").content
    answer = abroad.post("/import", content=archive, headers={"content-type": "application/zip"})
    assert answer.status_code == 201, answer.text
    return Moved(kind.name, home.http, experiment_id, abroad, answer.json()["id"], archive)


def test_every_plot_is_redrawn_to_the_byte(moved: Moved) -> None:
    """An export from there holds the pictures that were drawn here; of those that no export holds, the
    numbers that they draw are asked for."""
    first, second = unpack_zip(moved.archive), unpack_zip(moved.export_abroad())
    drawn = [name for name in first if name.startswith("plots/")]
    for name in drawn:
        assert first[name] == second[name], name
    for plot in kinds()[moved.kind].plots:
        if not plot.default:
            here, there = moved.read_both(f"plots/{plot.name}.json")
            assert here == there, plot.name
        endings = {Path(name).suffix for name in drawn if Path(name).stem == plot.name}
        assert not plot.default or {".png", ".svg", ".json"} <= endings


def test_every_number_is_answered_to_the_byte(moved: Moved) -> None:
    for path in ("result", "metrics", "metrics?aggregate=true", "metrics?format=csv", "comparison"):
        here, there = moved.read_both(path)
        assert here == there, path
    assert moved.read_both("difference?point=1&baseline=0")[0]


def test_the_table_of_results_has_a_row_for_every_statistic(moved: Moved) -> None:
    with Client(str(moved.home.base_url)) as client:
        result = client.result(moved.home_id)
        source = ExportSource(
            client.get(moved.home_id),
            [*client.runs(moved.home_id)],
            client.metrics(moved.home_id),
            result,
        )
    columns = result_columns(source)
    assert columns["mean"] == [one["mean"] for one in list_statistics(result["points"])]
    assert len({*zip(*columns.values(), strict=True)}) == len(columns["mean"]), "each is told apart"


def list_statistics(value: Any) -> Iterator[Mapping[str, Any]]:
    """In the order in which they stand."""
    if is_statistic(value):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from list_statistics(inner)
