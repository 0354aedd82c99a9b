"""Limits, workers, liveness and readiness."""

from __future__ import annotations

from tests.api.announced_workers import announce_worker
from tests.api.api_server import ApiServer


def test_the_service_reports_its_limits_and_health(api_server: ApiServer) -> None:
    assert api_server.get("/limits")["max_points"] == api_server.settings.max_points
    assert api_server.get("/healthz") == {"status": "ok"}
    assert api_server.get("/workers")["items"] == []
    ready = api_server.http.get("/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "unavailable")
    assert "broker" in ready.json()["detail"]


def test_the_queue_names_what_waits_and_when_it_starts(api_server: ApiServer) -> None:
    first = api_server.submit({"spec": {"kind": "train", "epochs": 11}, "name": "first"})["id"]
    second = api_server.submit({"spec": {"kind": "train", "epochs": 12}, "seeds": [0, 1]})["id"]
    assert api_server.get("/queue")["waiting"][0]["starts_in_seconds"] is None, "no worker"
    announce_worker(api_server)
    waiting = {one["id"]: one for one in api_server.get("/queue")["waiting"]}
    shown = api_server.get(f"/experiments/{second}")["queue"]["starts_in_seconds"]
    page = api_server.http.get("/machines", headers={"Accept": "text/html"}).text
    assert [waiting[one]["title"] for one in (first, second)] == ["first", "train, epochs 12"]
    starts = [waiting[one]["starts_in_seconds"] for one in (first, second)]
    assert starts[1] == shown
    assert starts[1]["low"] > starts[0]["low"] >= 0
    row = page.partition(f'id="waiting-{second}"')[2].partition("</tr>")[0]
    assert 'data-label="Starts, roughly">in ' in row
    page = api_server.http.get(f"/view/{second}", headers={"Accept": "text/html"}).text
    assert "Estimated start: in " in page
