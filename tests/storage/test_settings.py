"""Settings are read from variables and validated."""

from __future__ import annotations

import pytest

from runtime.settings import Settings


def test_worker_labels_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RICHREGIME_WORKER_LABELS", "site=basement, gpu=h100")
    assert Settings().worker_labels == {"site": "basement", "gpu": "h100"}
    monkeypatch.setenv("RICHREGIME_WORKER_LABELS", "basement")
    with pytest.raises(ValueError, match="not of the form name=value"):
        Settings()


def test_a_heartbeat_takes_at_most_a_third_of_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RICHREGIME_LEASE_SECONDS", "15")
    monkeypatch.setenv("RICHREGIME_HEARTBEAT_SECONDS", "5")
    assert Settings().heartbeat_seconds == 5
    monkeypatch.setenv("RICHREGIME_HEARTBEAT_SECONDS", "5.1")
    with pytest.raises(ValueError, match="at most a third of lease_seconds"):
        Settings()
