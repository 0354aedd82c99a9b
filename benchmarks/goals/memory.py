"""Memory of the processes: the API that draws and imports, a worker that trains a wide net."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.experiments.metric_tables import COLUMNS
from benchmarks.figures import Figure, Goal, at_most, spread
from benchmarks.options import Options
from benchmarks.service_process import (
    JsonClient,
    Service,
    tiny_experiment,
    wait_for_end,
)
from engine.cost import estimate
from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.registry import parse_spec
from schemas.bundle import CHECKSUM_FILE, METRICS_FILE

PLOTS, POINTS, IMPORTED = 50, 200, 1_000_000
WARM_UP = 10
"""Plots before the growth is measured: fonts and caches are loaded once"""
NAMES = 100
SETTLE_SECONDS = 10.0
"""After its end a worker still summarises; the data set stays in its cache"""
MEBIBYTE = 1 << 20


def measure(options: Options) -> Iterator[Figure]:
    data_dir = {} if options.data_dir is None else {"RICHREGIME_DATA_DIR": str(options.data_dir)}
    with Service(options.work_dir / "home", data_dir) as service:
        client = service.connect()
        yield from _plots(options, service, client)
        yield from _wide_net(options, service, client)
        archive = _make_archive(options, client)
    with Service(options.work_dir / "home_of_import") as service:
        yield from _import(options, service, archive)


def _plots(options: Options, service: Service, client: JsonClient) -> Iterator[Figure]:
    points, count = options.size(POINTS, 4), options.size(PLOTS, 2)
    body = {**tiny_experiment(0, epochs=1), "sweep": {"model.width": list(range(2, 2 + points))}}
    experiment_id = client.post("/experiments", body)["id"]
    wait_for_end(client, [experiment_id])
    path = f"/experiments/{experiment_id}/plots/learning_curve.png"
    api = _find_process(service, "api.app")

    def draw(first: int, number: int) -> None:
        for one in range(first, first + number):  # another size each time, so that none is kept
            status, _ = client.request_bytes("GET", f"{path}?width=8&height={4 + one / 100}")
            assert status == 200

    draw(0, options.size(WARM_UP, 1))
    before = _memory(api, "VmRSS")
    _reset_peak(api)
    draw(WARM_UP, count)
    name = f"API, {count} plots of {points} points"
    yield _mebibytes(f"{name}: peak", _memory(api, "VmHWM"), at_most(600))
    grown = _memory(api, "VmRSS") - before
    yield _mebibytes(f"{name}: growth", max(0, grown), at_most(50))


def _wide_net(options: Options, service: Service, client: JsonClient) -> Iterator[Figure]:
    width = options.size(100_000, 50)
    spec: dict[str, Any] = {
        "kind": "train",
        "data": options.digits(),
        "model": {"name": "relu_net", "width": width},
        "epochs": 1,
    }
    slots = _children(_find_process(service, "workers.entry"))  # any of them takes the run
    before = {slot: _memory(slot, "VmRSS") for slot in slots}
    for slot in slots:
        _reset_peak(slot)
    experiment = client.post("/experiments", {"spec": spec, "seeds": [0], "reuse": False})
    wait_for_end(client, [experiment["id"]])
    peak = max(_memory(slot, "VmHWM") for slot in slots)
    parsed = parse_spec(spec)
    expected = estimate(parsed, 1, BUILTIN_DATASETS[parsed.data.name]).memory_bytes
    name = f"worker, w={width:,} d=1, {spec['data']['train_size']:,} images"
    yield Figure(
        f"{name}: peak",
        "the estimate of the preview",
        "of baseline",
        spread([peak / expected]),
        None if options.smoke else at_most(1),
        note=f"{peak / 2**30:.2f} GiB",
    )
    time.sleep(SETTLE_SECONDS)
    kept = max(_memory(slot, "VmRSS") - before[slot] for slot in slots)
    yield _mebibytes(f"{name}: kept when it has ended", max(0, kept), at_most(250))


def _make_archive(options: Options, client: JsonClient) -> bytes:
    """The export of a tiny experiment, with so many metrics in place of its own."""
    experiment_id = client.post("/experiments", tiny_experiment(1))["id"]
    wait_for_end(client, [experiment_id])
    status, exported = client.request_bytes("GET", f"/experiments/{experiment_id}/export")
    assert status == 200
    count = options.size(IMPORTED, 1_000)
    rows = (f"0,1,m{row % NAMES},{row // NAMES},{row % 8 / 8}" for row in range(count))
    metrics = "\n".join((",".join(COLUMNS), *rows)).encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(exported)) as old, zipfile.ZipFile(archive, "w") as new:
        (metrics_name,) = (name for name in old.namelist() if name.endswith(METRICS_FILE))
        (sums_name,) = (name for name in old.namelist() if name.endswith(CHECKSUM_FILE))
        for name in set(old.namelist()) - {metrics_name, sums_name}:
            new.writestr(name, old.read(name))
        new.writestr(metrics_name, metrics, zipfile.ZIP_DEFLATED)
        listed = [line.partition("  ") for line in old.read(sums_name).decode().splitlines()]
        own = hashlib.sha256(metrics).hexdigest()
        sums = [
            f"{own if name == METRICS_FILE else digest}  {name}\n" for digest, _, name in listed
        ]
        new.writestr(sums_name, "".join(sums))
    return archive.getvalue()


def _import(options: Options, service: Service, archive: bytes) -> Iterator[Figure]:
    api = _find_process(service, "api.app")
    before = _memory(api, "VmRSS")
    _reset_peak(api)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=900)
    connection.request("POST", "/import", archive, {"Content-Type": "application/zip"})
    response = connection.getresponse()
    content = response.read()
    assert response.status == 201, (response.status, json.loads(content))
    connection.close()
    name = f"API, import of {options.size(IMPORTED, 1_000):,} metrics"
    added = _memory(api, "VmHWM") - before
    yield _mebibytes(f"{name}: peak above the start", max(0, added), at_most(200))


def _find_process(service: Service, module: str) -> int:
    """The process of the service that runs this module."""
    for pid in _children(service.pid):
        if module in Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0"):
            return pid
    raise AssertionError(f"{module} does not run")


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def _memory(pid: int, field: str) -> int:
    """Bytes of a field of /proc/<pid>/status: VmRSS is resident, VmHWM its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise AssertionError(f"no {field}")


def _reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _mebibytes(name: str, num_bytes: int, goal: Goal) -> Figure:
    return Figure(name, "", "MiB", spread([num_bytes / MEBIBYTE]), goal)
