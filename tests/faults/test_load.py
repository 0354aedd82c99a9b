"""A thousand experiments at once, while workers and the broker are killed, end once each."""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.api_process import run_api
from tests.faults.soak import Soak, soak_settings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("load")]

COUNT = int(os.environ.get("RICHREGIME_LOAD_COUNT") or 1000)
CLIENTS = 20
KILL_EVERY = 10.0
END_SECONDS = 1500.0
TINY = {
    "kind": "train",
    "epochs": 1,
    "batch_size": 64,
    "data": {"name": "synthetic", "train_size": 128, "test_size": 64},
    "model": {"name": "relu_net", "width": 5},
}


@pytest.mark.timeout(1800)
def test_a_thousand_experiments_end_once_each(tmp_path: Path, sqlite_template: Path) -> None:
    (tmp_path / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    settings = soak_settings(tmp_path).model_copy(update={"lease_seconds": 15.0})
    soak = Soak(settings, seed=0)
    soak.broker.start()
    try:
        with run_api(tmp_path) as api, ThreadPoolExecutor(CLIENTS) as pool:

            def submit(number: int) -> tuple[str, float]:
                headers = {"idempotency-key": f"key-{number}"}
                body = {"spec": TINY, "seeds": [number], "reuse": False}
                began = time.monotonic()
                response = api.http.post(
                    "/experiments", json=body, headers=headers
                ).raise_for_status()
                return response.json()["id"], time.monotonic() - began

            memory = [api.memory_bytes()]
            submitted = [pool.submit(submit, number) for number in range(COUNT)]
            kills = _work_through(soak)
            responses = [one.result() for one in submitted]
            soak.accepted = [name for name, _ in responses]
            assert len(set(soak.accepted)) == COUNT
            soak._settle()
            memory.append(api.memory_bytes())
        found = soak.examine({})
        statuses = soak.statuses()
    finally:
        soak.close()
    seconds = sorted(duration for _, duration in responses)
    print(
        f"{COUNT} experiments, {CLIENTS} clients: POST p50 {seconds[COUNT // 2] * 1e3:.0f} ms, "
        f"p99 {seconds[COUNT * 99 // 100] * 1e3:.0f} ms; "
        f"API memory {memory[0] / 1e6:.0f} to {memory[1] / 1e6:.0f} MB; "
        f"{kills} workers killed; {found}"
    )
    assert found.all() == []
    assert statuses == Counter(succeeded=COUNT)


def _work_through(soak: Soak) -> int:
    """Supervise until all have succeeded; returns how many workers were killed.

    Kills a worker every ten seconds, and the broker once half are submitted and once half are done.
    """
    kills, restarts = 0, 0
    kill_at = time.monotonic() + KILL_EVERY
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        soak._supervise()
        statuses = soak.statuses()
        done = statuses["succeeded"]
        if (restarts == 0 and statuses.total() >= COUNT / 2) or (
            restarts == 1 and done >= COUNT / 2
        ):
            restarts += soak._kill_broker()
        if time.monotonic() > kill_at:
            kill_at = time.monotonic() + KILL_EVERY
            kills += soak._running() != [] and soak._kill_worker()
        if done == COUNT:
            break
        time.sleep(0.5)
    return kills
