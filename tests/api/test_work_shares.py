"""An owner takes a share of what computes; work of a client that has gone is dropped."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import Response

from api.dependencies import State, make_state
from api.experiments import plan, preview
from api.experiments.plan import plan_submission
from api.http.request_work import CallerGone, RequestWork, counted, current_work, require_caller
from api.middleware import work_shares
from api.middleware.authentication import Authentication
from api.middleware.rate_limits import CpuLimit
from api.middleware.work_shares import REQUESTS, REQUESTS_PER_OWNER, Turns
from schemas.events import EventName
from storage.database.engine import Database
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key
from tests.waiting import wait_until

PREVIEW = "api.routes.experiments.preview"
BODY = {"spec": {"kind": "train"}}
MANY = 60
"""More than there are threads"""


class HeldPreviews:
    """Stands for `preview`: computes until it is released, or its caller has gone."""

    def __init__(self) -> None:
        self.started: list[str | None] = []
        self.dropped: list[str | None] = []
        self.release = threading.Event()

    def __call__(self, state: State, body: bytes) -> Response:
        self.started.append(state.owner)
        try:
            while state.owner != "ben" and not self.release.wait(0.005):
                require_caller()
        except CallerGone:
            self.dropped.append(state.owner)
            raise
        return Response()


@pytest.fixture
def previews(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldPreviews]:
    held = HeldPreviews()
    monkeypatch.setattr(PREVIEW, held)
    yield held
    held.release.set()


@pytest.fixture
def keyed(tmp_path: Path, sqlite_template: Path) -> Iterator[tuple[ApiServer, str, str]]:
    """An API with the keys of ada and ben."""
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path)) as opened:
        yield opened, make_key(opened.db), make_key(opened.db, owner="ben")


def send_request(server: ApiServer, key: str, head: str, body: bytes = b"") -> socket.socket:
    """Send a request, or the start of one, and keep its connection open."""
    url = httpx.URL(str(server.http.base_url))
    opened = socket.create_connection((url.host, url.port or 80), timeout=10)
    lines = [head, "Host: 127.0.0.1", f"Authorization: Bearer {key}"]
    opened.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return opened


def start_preview(server: ApiServer, key: str) -> socket.socket:
    return send_request(
        server, key, "POST /experiments/preview HTTP/1.1\r\nContent-Length: 2", b"{}"
    )


def ask(server: ApiServer, key: str, path: str = "/experiments", **more: Any) -> httpx.Response:
    return httpx.request(
        more.pop("method", "GET"),
        server.http.base_url.join(path),
        headers={"Authorization": f"Bearer {key}"},
        timeout=5,
        **more,
    )


def test_one_owner_holds_no_more_than_its_share(
    keyed: tuple[ApiServer, str, str], previews: HeldPreviews
) -> None:
    server, ada, ben = keyed
    opened = [start_preview(server, ada) for _ in range(MANY)]
    wait_until(lambda: len(previews.started) == REQUESTS_PER_OWNER)
    for _ in range(5):
        # Without an answer of its own it would wait for a thread, longer than this.
        assert httpx.get(server.http.base_url.join("/healthz"), timeout=10).status_code == 200
        assert ask(server, ben, "/experiments/preview", method="POST", json={}).status_code == 200
        assert ask(server, ben).status_code == 200
    assert previews.started.count("ada") == REQUESTS_PER_OWNER
    previews.release.set()
    wait_until(lambda: previews.started.count("ada") == MANY)
    for one in opened:
        one.close()


def test_health_is_told_while_every_thread_is_busy(
    keyed: tuple[ApiServer, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the database answers late: each request that is authenticated holds a thread."""
    server, ada, _ = keyed
    busy, release = threading.Semaphore(0), threading.Event()

    def wait(*arguments: Any) -> None:
        busy.release()
        release.wait(30)

    monkeypatch.setattr(Authentication, "_authenticate", wait)
    opened = [start_preview(server, ada) for _ in range(MANY)]
    try:
        assert busy.acquire(timeout=10)
        while busy.acquire(timeout=0.5):
            pass
        # Without an answer of its own it would wait for a thread, longer than this.
        assert httpx.get(server.http.base_url.join("/healthz"), timeout=10).status_code == 200
    finally:
        release.set()
        for one in opened:
            one.close()


def test_a_request_whose_client_has_gone_is_not_computed(
    keyed: tuple[ApiServer, str, str],
    previews: HeldPreviews,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "richregime.api")
    server, ada, _ = keyed
    held = [start_preview(server, ada) for _ in range(REQUESTS_PER_OWNER)]
    wait_until(lambda: len(previews.started) == REQUESTS_PER_OWNER)
    waiting = [start_preview(server, ada) for _ in range(10)]
    last = start_preview(server, ada)
    time.sleep(0.3)  # until the service has read them
    for one in waiting:
        one.close()
    wait_until(lambda: caplog.text.count("its request is dropped") == len(waiting))
    previews.release.set()
    assert last.recv(100).startswith(b"HTTP/1.1 200")
    assert len(previews.started) == REQUESTS_PER_OWNER + 1
    for one in (*held, last):
        one.close()


def test_a_computation_ends_when_its_client_goes(
    keyed: tuple[ApiServer, str, str], previews: HeldPreviews
) -> None:
    server, ada, _ = keyed
    opened = start_preview(server, ada)
    wait_until(lambda: previews.started == ["ada"])
    opened.close()
    wait_until(lambda: previews.dropped == ["ada"])
    assert ask(server, ada).status_code == 200, "its turn is free again"


def test_a_slow_body_holds_no_turn(
    keyed: tuple[ApiServer, str, str], previews: HeldPreviews
) -> None:
    server, ada, _ = keyed
    head = "POST /experiments/preview HTTP/1.1\r\nContent-Length: 200"
    upload = "POST /datasets?name=mine HTTP/1.1\r\nContent-Length: 900000"
    slow = [send_request(server, ada, head, b'{"spec"') for _ in range(20)]
    slow += [send_request(server, ada, upload, b"P" * 400_000) for _ in range(20)]
    time.sleep(0.3)
    previews.release.set()
    assert ask(server, ada, "/experiments/preview", method="POST", json={}).status_code == 200
    assert ask(server, ada, method="POST", json=BODY).status_code == 201
    for one in slow:
        one.close()


def test_one_owner_sends_a_number_of_bodies_at_once_and_silent_ones_are_given_up(
    keyed: tuple[ApiServer, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, ada, ben = keyed
    monkeypatch.setattr(work_shares, "BODIES_PER_OWNER", 3)
    monkeypatch.setattr(work_shares, "SILENT_SECONDS", 2.0)
    head = "POST /experiments HTTP/1.1\r\nContent-Length: 200"
    upload = "POST /datasets?name=mine HTTP/1.1\r\nContent-Length: 900000"
    slow = [send_request(server, ada, head, b'{"spec"') for _ in range(2)]
    slow.append(send_request(server, ada, upload, b"P" * 400_000))
    over = wait_until(
        lambda: (one := ask(server, ada, method="POST", json=BODY)).status_code == 429 and one
    )
    assert over.json()["code"] == "rate-limited"
    assert "3 bodies of yours are being sent" in over.json()["detail"]
    assert ask(server, ben, method="POST", json=BODY).status_code in (200, 201)
    for one in slow:
        answer = one.makefile("rb").read()  # until the service closes the connection
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b"nothing of the body has arrived for 2 s" in answer
        one.close()
    assert ask(server, ada, method="POST", json=BODY).status_code in (200, 201)


def test_a_body_that_no_route_reads_takes_a_turn_too(
    keyed: tuple[ApiServer, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, ada, _ = keyed
    running, most, lock = 0, 0, threading.Lock()

    def count(*args: Any, **named: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return [], None

    monkeypatch.setattr("api.experiments.listing.list_experiments", count)
    with ThreadPoolExecutor(12) as pool:
        sizes = [0, 1, 1_000_000] * 4
        answers = list(pool.map(lambda size: ask(server, ada, content=b"x" * size), sizes))
    assert {one.status_code for one in answers} == {200}
    assert most == REQUESTS_PER_OWNER


def test_an_event_stream_gives_its_turn_back(keyed: tuple[ApiServer, str, str]) -> None:
    server, ada, _ = keyed
    made = ask(server, ada, method="POST", json=BODY).json()["id"]
    streams = [
        send_request(
            server, ada, f"GET /experiments/{made}/events HTTP/1.1\r\nAccept: text/event-stream"
        )
        for _ in range(REQUESTS_PER_OWNER)
    ]
    for one in streams:
        text = b""
        while EventName.EXPERIMENT_SUBMITTED.encode() not in text:
            text += one.recv(10_000)
    assert ask(server, ada).status_code == 200
    for one in streams:
        one.close()


def test_nothing_is_planned_for_a_client_that_has_gone(settings: Any, sqlite_url: str) -> None:
    settings.home.mkdir(parents=True)
    db = Database(sqlite_url)
    state = make_state(settings)
    work = RequestWork(caller_is_gone=True)
    with current_work(work), db.read() as session, pytest.raises(CallerGone):
        plan_submission(session, settings, state.blobs, BODY)
    db.dispose()


@pytest.mark.parametrize("stage", ["expand", "check_files", "_check_costs", "_estimate_costs"])
def test_each_stage_of_a_plan_ends_when_the_client_goes(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    state, work, begun = make_state(make_settings(tmp_path)), RequestWork(), list[str]()

    def watch(module: ModuleType, name: str) -> None:
        function = getattr(module, name)

        def call(*args: Any, **named: Any) -> Any:
            begun.append(name)
            work.caller_is_gone = name == stage
            return function(*args, **named)

        monkeypatch.setattr(module, name, call)

    stages = ["expand", "check_files", "_check_costs"]
    for name in stages:
        watch(plan, name)
    watch(preview, "_estimate_costs")
    stages.append("_estimate_costs")
    with current_work(work), pytest.raises(CallerGone):
        preview.preview(state, json.dumps(BODY).encode())
    assert begun == stages[: stages.index(stage) + 1], "the next stage has begun"
    state.db.dispose()


def burn(seconds: float) -> None:
    """Compute in this thread."""
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


def test_the_chunks_of_a_response_are_charged_to_the_key(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_chunks(*args: Any, **named: Any) -> Iterator[bytes]:
        for _ in range(3):
            burn(0.4)
            yield b"x"

    monkeypatch.setattr("api.routes.results.export", make_chunks)
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path, max_cpu_seconds_per_minute=1.0)) as server:
        ada = make_key(server.db)
        made = ask(server, ada, method="POST", json=BODY).json()["id"]
        assert ask(server, ada, f"/experiments/{made}/export").content == b"xxx"
        statuses = []
        for _ in range(5):  # far fewer requests than would use up the limit themselves
            time.sleep(0.2)
            statuses.append(ask(server, ada).status_code)
        assert 429 in statuses


def test_a_key_is_refused_when_it_has_used_its_cpu_time(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(state: State, body: bytes) -> Response:
        burn(0.06)
        return Response()

    monkeypatch.setattr(PREVIEW, compute)
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path, max_cpu_seconds_per_minute=0.1)) as server:
        ada, ben = make_key(server.db), make_key(server.db, owner="ben")
        preview: dict[str, Any] = {"path": "/experiments/preview", "method": "POST", "json": {}}
        first = ask(server, ada, **preview)
        assert first.headers["RateLimit-Policy"].endswith(', "cpu-milliseconds";q=100;w=60')
        left = int(first.headers["RateLimit"].split('"cpu-milliseconds";r=')[1].split(";")[0])
        assert 0 < left <= 40
        assert ask(server, ada, **preview).status_code == 200
        over = ask(server, ada)
        assert (over.status_code, over.json()["code"]) == (429, "rate-limited")
        assert "0.1 s of CPU time" in over.json()["detail"]
        assert 1 <= int(over.headers["Retry-After"]) <= 60
        assert ask(server, ben, **preview).status_code == 200
        assert ask(server, ben, "/limits").json()["max_cpu_seconds_per_minute"] == 0.1


def test_chunks_of_a_response_count_as_its_cpu_time() -> None:
    def make_chunks() -> Iterator[bytes]:
        for _ in range(3):
            burn(0.01)
            yield b"x"

    work = RequestWork()
    with current_work(work):
        assert list(counted(make_chunks())) == [b"x"] * 3
    assert work.cpu_seconds >= 0.03


def test_cpu_time_is_charged_after_it_was_used() -> None:
    limit = CpuLimit(1.0)
    limit.require_left("k")
    limit.charge("k", 0.9)
    limit.require_left("k")
    limit.charge("k", 5.0)
    with pytest.raises(Exception, match="1 s of CPU time"):
        limit.require_left("k")
    limit.require_left("other")


def run_turns(steps: Callable[[Turns], Any]) -> Any:
    async def run() -> Any:
        return await steps(Turns())

    return asyncio.run(run())


def test_owners_take_turns() -> None:
    async def steps(turns: Turns) -> list[str]:
        order: list[str] = []

        async def compute(owner: str) -> None:
            await turns.take(owner)
            order.append(owner)
            await asyncio.sleep(0)
            turns.give_back(owner)

        fillers = [f"filler {index}" for index in range(REQUESTS)]
        for filler in fillers:
            assert turns.take_free(filler)
        assert not turns.take_free("ada"), "all together have a limit"
        tasks = [asyncio.create_task(compute(owner)) for owner in (*["ada"] * 6, "ben", "cid")]
        await asyncio.sleep(0)
        turns.give_back(fillers[0])
        await asyncio.gather(*tasks)
        return order

    order = run_turns(steps)
    assert order[0] == "ada"
    assert max(order.index("ben"), order.index("cid")) <= 3, "not behind all of ada's"


def test_of_two_that_wait_the_owner_with_fewer_computing_requests_is_next() -> None:
    async def steps(turns: Turns) -> None:
        owners = ["ada", *(f"filler {index}" for index in range(REQUESTS - 1))]
        for owner in owners:
            assert turns.take_free(owner)
        longest = asyncio.create_task(turns.take("ada"))
        await asyncio.sleep(0)
        fewest = asyncio.create_task(turns.take("ben"))
        await asyncio.sleep(0)
        turns.give_back("filler 0")
        await asyncio.sleep(0)
        assert (longest.done(), fewest.done()) == (False, True)
        turns.give_back("filler 1")
        await longest

    run_turns(steps)


def test_a_cancelled_wait_leaves_no_turn_behind() -> None:
    async def steps(turns: Turns) -> None:
        for _ in range(REQUESTS_PER_OWNER):
            assert turns.take_free("ada")
        waiting = asyncio.create_task(turns.take("ada"))
        granted = asyncio.create_task(turns.take("ada"))
        await asyncio.sleep(0)
        waiting.cancel()
        turns.give_back("ada")
        granted.cancel()  # in the same step in which it was granted
        await asyncio.gather(waiting, granted, return_exceptions=True)
        assert turns.take_free("ada")
        assert not turns.take_free("ada")

    run_turns(steps)
