"""The API when its database fails, its limits are reached, and it is killed or terminated."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.faults.api_process import BODY, run_api

pytestmark = pytest.mark.xdist_group("api_process")


@pytest.fixture(scope="module")
def template_home(sqlite_template: Path) -> bytes:
    return sqlite_template.read_bytes()


@pytest.fixture
def home(tmp_path: Path, template_home: bytes) -> Path:
    (tmp_path / "richregime.sqlite3").write_bytes(template_home)
    return tmp_path


def test_the_api_keeps_accepted_experiments_when_it_is_locked_full_terminated_and_killed(
    home: Path,
) -> None:
    with run_api(home, max_queued_runs=4, max_sse_clients=2) as api:
        began = time.monotonic()
        accepted = api.submit()
        assert (accepted.status_code, time.monotonic() - began < 5) == (201, True), "no broker"
        with ThreadPoolExecutor(1) as pool, api.locked_database():
            waiting = pool.submit(api.submit)
            time.sleep(1.5)
            assert not waiting.done()
        assert waiting.result().status_code == 201, "the request waits for a locked database"
        while (response := api.submit()).status_code == 201:
            pass
        assert (response.status_code, response.json()["code"]) == (429, "limit-exceeded")
        assert int(response.headers["retry-after"]) > 0
        with ExitStack() as streams:
            path = f"/experiments/{accepted.json()['id']}/events"
            for status in (200, 200, 503):
                stream = streams.enter_context(
                    api.http.stream("GET", path, headers={"accept": "text/event-stream"})
                )
                assert stream.status_code == status
            assert int(stream.headers["retry-after"]) > 0
            api.process.send_signal(signal.SIGTERM)
            terminated = time.monotonic()
            api.process.wait(timeout=15)
            assert time.monotonic() - terminated < 5, "open streams delay the exit"
    with run_api(home) as restarted:
        assert restarted.http.get("/queue").json()["queued"] == 4
        restarted.process.kill()


@pytest.mark.slow
def test_an_experiment_is_kept_when_the_api_dies_before_its_wake_up(
    home: Path,
) -> None:
    folder = home / "fault_points"
    folder.mkdir()
    key = {"idempotency-key": "once"}
    with run_api(home, fault_points=folder) as api:
        (folder / "accept.1").write_text("kill")
        with pytest.raises(httpx.TransportError):
            api.http.post("/experiments", json=BODY, headers=key)
        assert api.process.wait(timeout=15) == -signal.SIGKILL
    with run_api(home) as restarted:
        response = restarted.http.post("/experiments", json=BODY, headers=key)
        assert response.status_code == 201
        assert [one["id"] for one in restarted.http.get("/experiments").json()["items"]] == [
            response.json()["id"]
        ]
        assert restarted.http.get("/queue").json()["queued"] == 1


@pytest.mark.slow
def test_a_database_locked_for_long_returns_503_to_twenty_clients_and_recovers(home: Path) -> None:
    with run_api(home) as api, ThreadPoolExecutor(20) as pool:
        with api.locked_database():
            began = time.monotonic()
            waiting = [pool.submit(api.submit) for _ in range(20)]
            time.sleep(2)
            assert api.http.get("/experiments").status_code == 200, "reads do not wait"
            assert time.monotonic() - began < 10
            for response in (one.result() for one in waiting):
                assert (response.status_code, response.json()["code"]) == (503, "unavailable")
                assert int(response.headers["retry-after"]) > 0
            assert 14 < time.monotonic() - began < 25
        assert api.submit().status_code == 201


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_submissions_by_twenty_clients_are_accepted_once_each(home: Path) -> None:
    with run_api(home) as api, ThreadPoolExecutor(20) as pool:

        def submit(number: int) -> tuple[int, float, str]:
            headers = {"idempotency-key": f"key-{number}"}
            began = time.monotonic()
            response = api.http.post(
                "/experiments", json={**BODY, "name": f"{number}"}, headers=headers
            )
            return response.status_code, time.monotonic() - began, response.json().get("id", "")

        responses = list(pool.map(submit, range(1000)))
        assert {status for status, _, _ in responses} == {201}
        assert len({name for _, _, name in responses}) == 1000
        assert api.http.get("/queue").json()["queued"] == 1000
        seconds = sorted(taken for _, taken, _ in responses)
        print(f"POST p50 {seconds[500] * 1e3:.0f} ms, p99 {seconds[990] * 1e3:.0f} ms")
        print(f"memory {api.memory_bytes() / 1e6:.0f} MB")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_stays_flat_at_ten_thousand_queued_runs(home: Path) -> None:
    with run_api(home) as api:
        seeds = list(range(500))
        sizes = []
        for number in range(20):
            body = {"seeds": seeds, "execution": {"seeds_per_run": 1}, "name": f"{number}"}
            assert api.submit(**body).status_code == 201
            assert api.http.get("/queue").status_code == 200
            if number in (3, 19):
                time.sleep(5)
                sizes.append(api.memory_bytes())
        assert api.http.get("/queue").json()["queued"] == 10_000
        print(f"memory at 2,000 queued {sizes[0] / 1e6:.0f} MB, at 10,000 {sizes[1] / 1e6:.0f} MB")
        assert sizes[1] < sizes[0] + 60e6
