"""The event log as pages and as a resumable stream."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, connect_sse

from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key


def read_stream(api_server: ApiServer, experiment_id: str, **headers: str) -> list[ServerSentEvent]:
    with connect_sse(
        api_server.http, "GET", f"/experiments/{experiment_id}/events", headers=headers
    ) as source:
        assert source.response.headers["content-type"].startswith("text/event-stream")
        return list(source.iter_sse())


def make_finished(api_server: ApiServer) -> str:
    body = {"spec": {"kind": "train"}, "sweep": {"model.width": [1, 2]}, "reuse": False}
    experiment_id = str(api_server.submit(body)["id"])
    api_server.finish_all_runs(experiment_id)
    return experiment_id


def test_a_stream_counts_from_one_without_gaps_and_ends(api_on_both_databases: ApiServer) -> None:
    found = read_stream(api_on_both_databases, make_finished(api_on_both_databases))
    assert [event.id for event in found[:-1]] == [
        str(number + 1) for number in range(len(found) - 1)
    ]
    assert found[0].event == "experiment.submitted"
    assert (found[-2].event, found[-1].event) == ("experiment.finished", "end")


def test_a_stream_resumes_after_the_last_event_id(api_server: ApiServer) -> None:
    experiment_id = make_finished(api_server)
    whole = read_stream(api_server, experiment_id)
    for last in range(len(whole)):
        resumed = read_stream(api_server, experiment_id, **{"Last-Event-ID": str(last)})
        assert [event.data for event in resumed[:-1]] == [event.data for event in whole[last:-1]]


def test_pages_hold_the_same_events_as_the_stream(api_server: ApiServer) -> None:
    experiment_id = make_finished(api_server)
    streamed = [event.json() for event in read_stream(api_server, experiment_id)[:-1]]
    paged: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = api_server.get(f"/experiments/{experiment_id}/events", **params)
        paged += page["items"]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert paged == streamed
    behind = api_server.get(f"/experiments/{experiment_id}/events", after=3)["items"]
    assert behind == streamed[3:]


def test_an_open_stream_sends_new_events(api_server: ApiServer) -> None:
    experiment_id = str(api_server.submit({"spec": {"kind": "train"}, "reuse": False})["id"])
    names: list[str] = []
    reader = threading.Thread(
        target=lambda: names.extend(event.event for event in read_stream(api_server, experiment_id))
    )
    reader.start()
    time.sleep(0.5)
    api_server.finish_all_runs(experiment_id)
    reader.join(timeout=20)
    assert not reader.is_alive()
    assert names[-4:] == ["run.started", "run.succeeded", "experiment.finished", "end"]


def test_an_invalid_last_event_id_is_refused(api_server: ApiServer) -> None:
    experiment_id = make_finished(api_server)
    for wrong in ("x", "-1", "1.5", "9" * 30):
        headers = {"Accept": "text/event-stream", "Last-Event-ID": wrong}
        response = api_server.http.get(f"/experiments/{experiment_id}/events", headers=headers)
        assert (response.status_code, response.json()["code"]) == (422, "invalid-request")


def test_open_streams_are_limited_and_released(tmp_path: Any) -> None:
    with serve_api(make_settings(tmp_path, max_sse_clients=1)) as api_server:
        url = f"/experiments/{api_server.submit({'spec': {'kind': 'train'}})['id']}/events"
        headers = {"Accept": "text/event-stream"}
        other = httpx.Client(base_url=api_server.http.base_url, timeout=10)
        with other, other.stream("GET", url, headers=headers) as first:
            text = first.iter_text()  # kept, because garbage collection would close the stream
            assert next(text).startswith(": open")
            refused = api_server.http.get(url, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            assert "Retry-After" in refused.headers
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with api_server.http.stream("GET", url, headers=headers) as again:
                if again.status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError("the stream of a client that has gone was not given back")


def test_one_owner_cannot_take_all_streams(tmp_path: Path) -> None:
    limits = {"max_sse_clients": 3, "limit_streams_per_owner": 2}
    with serve_api(make_settings(tmp_path, **limits)) as api_server, ExitStack() as opened:
        ada, ben = make_key(api_server.db), make_key(api_server.db, owner="ben")

        def open_stream(key: str) -> httpx.Response:
            own = {"Authorization": f"Bearer {key}"}
            http = opened.enter_context(
                httpx.Client(base_url=api_server.http.base_url, headers=own, timeout=10)
            )
            made = http.post("/experiments", json={"spec": {"kind": "train"}}).json()["id"]
            events = http.stream(
                "GET", f"/experiments/{made}/events", headers={"Accept": "text/event-stream"}
            )
            return opened.enter_context(events)

        assert [open_stream(ada).status_code for _ in range(2)] == [200, 200]
        over = open_stream(ada)
        problem = json.loads(over.read())
        assert (over.status_code, problem["code"]) == (429, "limit-exceeded")
        assert "limit_streams_per_owner: 2 event streams of yours" in problem["detail"]
        assert over.headers["Retry-After"] == "10"
        assert open_stream(ben).status_code == 200
        assert open_stream(ben).status_code == 503, "the limit of all"


def test_an_open_stream_does_not_delay_the_shutdown(tmp_path: Any) -> None:
    started = 0.0
    with httpx.Client(timeout=20) as http:
        with serve_api(make_settings(tmp_path)) as api_server:
            experiment_id = api_server.submit({"spec": {"kind": "train"}})["id"]
            url = f"{api_server.http.base_url}/experiments/{experiment_id}/events"
            request = http.build_request("GET", url, headers={"Accept": "text/event-stream"})
            response = http.send(request, stream=True)
            text = response.iter_text()
            assert next(text).startswith(": open")
            started = time.monotonic()
        assert time.monotonic() - started < 5
        response.close()
