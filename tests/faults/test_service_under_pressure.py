"""The API when its disk, database or broker fails, when too much is asked, and when it is told to end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.demo import free_port
from tests.waiting import wait_until
from tests.workers.conftest import ROOT

pytestmark = pytest.mark.xdist_group("service_under_pressure")

BODY: dict[str, Any] = {"spec": {"kind": "train", "epochs": 1}, "reuse": False}


class Service:
    """`python -m api.app` alone on a home: no broker, no worker."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.home, self.url = home, f"http://127.0.0.1:{free_port()}"
        environment = {f"RICHREGIME_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "api.app", "--port", self.url.rpartition(":")[2]],
            cwd=ROOT,
            env={**os.environ, "RICHREGIME_HOME": str(home), **environment},
            stderr=subprocess.DEVNULL,
        )
        self.http = httpx.Client(base_url=self.url, timeout=60)
        wait_until(self._answers, 120)

    def _answers(self) -> bool:
        assert self.process.poll() is None
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def submit(self, **more: Any) -> httpx.Response:
        return self.http.post("/experiments", json={**BODY, **more})

    def memory_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @contextmanager
    def locked_database(self) -> Iterator[None]:
        connection = sqlite3.connect(
            self.home / "richregime.sqlite3", timeout=30, isolation_level=None
        )
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()

    def close(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def template_home(sqlite_template: Path) -> bytes:
    return sqlite_template.read_bytes()


@pytest.fixture
def home(tmp_path: Path, template_home: bytes) -> Path:
    (tmp_path / "richregime.sqlite3").write_bytes(template_home)
    return tmp_path


@contextmanager
def serving(home: Path, **settings: object) -> Iterator[Service]:
    service = Service(home, **settings)
    try:
        yield service
    finally:
        service.close()


def test_the_api_is_killed_locked_filled_and_ended_and_keeps_what_it_accepted(home: Path) -> None:
    with serving(home, max_queued_runs=4, max_sse_clients=2) as service:
        began = time.monotonic()
        accepted = service.submit()
        assert (accepted.status_code, time.monotonic() - began < 5) == (201, True), (
            "no broker is there"
        )
        with ThreadPoolExecutor(1) as pool, service.locked_database():
            waiting = pool.submit(service.submit)
            time.sleep(1.5)
            assert not waiting.done()
        assert waiting.result().status_code == 201, (
            "a database that is locked for seconds is waited for"
        )
        while (answer := service.submit()).status_code == 201:
            pass
        assert (answer.status_code, answer.json()["code"]) == (429, "limit-exceeded")
        assert int(answer.headers["retry-after"]) > 0
        with ExitStack() as streams:
            path = f"/experiments/{accepted.json()['id']}/events"
            for status in (200, 200, 503):
                stream = streams.enter_context(
                    service.http.stream("GET", path, headers={"accept": "text/event-stream"})
                )
                assert stream.status_code == status
            assert int(stream.headers["retry-after"]) > 0
            service.process.send_signal(signal.SIGTERM)
            asked = time.monotonic()
            service.process.wait(timeout=15)
            assert time.monotonic() - asked < 5, "open streams held it up"
    with serving(home) as again:
        assert again.http.get("/queue").json()["queued"] == 4
        again.process.kill()


@pytest.mark.slow
def test_an_experiment_whose_api_dies_before_it_rings_is_kept_and_its_key_finds_it(
    home: Path,
) -> None:
    orders = home / "orders"
    orders.mkdir()
    key = {"idempotency-key": "once"}
    with serving(home, fault_points=orders) as service:
        (orders / "accept.1").write_text("kill")
        with pytest.raises(httpx.TransportError):
            service.http.post("/experiments", json=BODY, headers=key)
        assert service.process.wait(timeout=15) == -signal.SIGKILL
    with serving(home) as again:
        answer = again.http.post("/experiments", json=BODY, headers=key)
        assert answer.status_code == 201
        assert [one["id"] for one in again.http.get("/experiments").json()["items"]] == [
            answer.json()["id"]
        ]
        assert again.http.get("/queue").json()["queued"] == 1


@pytest.mark.slow
def test_a_database_locked_for_long_is_told_to_twenty_clients_and_heals(home: Path) -> None:
    with serving(home) as service, ThreadPoolExecutor(20) as pool:
        with service.locked_database():
            began = time.monotonic()
            waiting = [pool.submit(service.submit) for _ in range(20)]
            time.sleep(2)
            assert service.http.get("/experiments").status_code == 200, "reading goes on"
            assert time.monotonic() - began < 10
            for answer in (one.result() for one in waiting):
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert int(answer.headers["retry-after"]) > 0
            assert 14 < time.monotonic() - began < 25
        assert service.submit().status_code == 201


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_submissions_by_twenty_clients_are_each_accepted_once(home: Path) -> None:
    with serving(home) as service, ThreadPoolExecutor(20) as pool:

        def submit(number: int) -> tuple[int, float, str]:
            headers = {"idempotency-key": f"key-{number}"}
            began = time.monotonic()
            answer = service.http.post(
                "/experiments", json={**BODY, "name": f"{number}"}, headers=headers
            )
            return answer.status_code, time.monotonic() - began, answer.json().get("id", "")

        answers = list(pool.map(submit, range(1000)))
        assert {status for status, _, _ in answers} == {201}
        assert len({name for _, _, name in answers}) == 1000
        assert service.http.get("/queue").json()["queued"] == 1000
        seconds = sorted(taken for _, taken, _ in answers)
        print(f"POST p50 {seconds[500] * 1e3:.0f} ms, p99 {seconds[990] * 1e3:.0f} ms")
        print(f"memory {service.memory_bytes() / 1e6:.0f} MB")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_stays_flat_at_ten_thousand_queued_runs(home: Path) -> None:
    with serving(home) as service:
        seeds = list(range(500))
        sizes = []
        for number in range(20):
            body = {"seeds": seeds, "execution": {"seeds_per_run": 1}, "name": f"{number}"}
            assert service.submit(**body).status_code == 201
            assert service.http.get("/queue").status_code == 200
            if number in (3, 19):
                time.sleep(5)
                sizes.append(service.memory_bytes())
        assert service.http.get("/queue").json()["queued"] == 10_000
        print(f"memory at 2,000 queued {sizes[0] / 1e6:.0f} MB, at 10,000 {sizes[1] / 1e6:.0f} MB")
        assert sizes[1] < sizes[0] + 60e6
