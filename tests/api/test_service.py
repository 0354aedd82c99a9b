"""Limits, workers, liveness and readiness."""

from __future__ import annotations

from tests.api.api_server import ApiServer


def test_the_service_reports_its_limits_and_health(api_server: ApiServer) -> None:
    assert api_server.get("/limits")["max_points"] == api_server.settings.max_points
    assert api_server.get("/healthz") == {"status": "ok"}
    assert api_server.get("/workers")["items"] == []
    ready = api_server.http.get("/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "unavailable")
    assert "broker" in ready.json()["detail"]
