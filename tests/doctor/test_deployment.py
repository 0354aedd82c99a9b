"""The checks of a deployment on real deployments that are broken in one way each."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from ops.broker import Broker
from ops.doctor.deployment import check_blobs, check_broker, examine
from ops.doctor.findings import Level
from ops.doctor.local_checks import check_folder
from runtime.settings import Settings
from storage.delivery.wake_ups import socket_path
from tests.doctor.deployments import (
    UNPRIVILEGED,
    as_unprivileged_user,
    make_settings,
    messages,
)


def test_a_healthy_deployment_has_no_errors(healthy: Settings) -> None:
    findings = list(examine(healthy))
    assert [one for one in findings if one.level is Level.ERROR] == []
    assert {one.subject for one in findings} >= {
        *("python", "packages", "home", "broker", "files", "database"),
        *("clock", "workers", "runs", "access", "leftovers"),
    }
    assert list((healthy.home / "blobs").rglob("*.partial")) == []
    assert [path for path in (healthy.home / "blobs").rglob("*") if path.is_file()] == []


def test_a_broker_that_drops_messages_or_is_stopped_is_reported(settings: Settings) -> None:
    broker = Broker(settings)
    broker.start()
    try:
        assert "keeps its messages" in messages(check_broker(settings), "broker", Level.OK)
        with Redis(unix_socket_path=socket_path(settings)) as connection:
            connection.config_set("appendonly", "no")
            connection.config_set("maxmemory", "100mb")
            connection.config_set("maxmemory-policy", "allkeys-lru")
        assert "noeviction" in messages(check_broker(settings), "broker", Level.ERROR)
        assert "--appendonly yes" in messages(check_broker(settings), "broker", Level.WARNING)
    finally:
        broker.stop()
    assert "`richregime up` starts it" in messages(check_broker(settings), "broker", Level.ERROR)


def test_an_unwritable_blob_folder_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "blobs").mkdir()
        for path in (Path(folder) / "blobs", Path(folder)):
            path.chmod(0o555)
        with as_unprivileged_user():
            found = messages(check_blobs(make_settings(Path(folder))), "files", Level.ERROR)
    assert "check owner and disk" in found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which can change its user")
def test_root_does_not_write_to_the_home_of_another_user() -> None:
    with tempfile.TemporaryDirectory() as folder:
        blobs = Path(folder) / "blobs"
        blobs.mkdir()
        for path in (blobs, Path(folder)):
            os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
        assert "as that user" in messages(check_folder("home", Path(folder)), "home", Level.WARNING)
        assert list(check_blobs(make_settings(Path(folder)))) == []
        assert list(blobs.iterdir()) == []


def test_an_unreachable_bucket_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr("storage.files.s3.ObjectBlobStore.open", _open_without_retries)
    found = messages(
        check_blobs(make_settings(home, blob_url="s3://bucket/prefix")), "files", Level.ERROR
    )
    assert "AWS_*" in found


def _open_without_retries(url: str, cache: Path) -> Any:
    from obstore.store import from_url

    from storage.files.s3 import ObjectBlobStore

    return ObjectBlobStore(from_url(url, retry_config={"max_retries": 0}), cache)
