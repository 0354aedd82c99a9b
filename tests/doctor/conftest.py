"""A home and a healthy deployment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runtime.settings import Settings
from tests.doctor.deployments import add_listening_worker, make_settings, open_database


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path) -> Path:
    """A home with a database of this version and an empty blob folder."""
    made = tmp_path / "home"
    (made / "blobs").mkdir(parents=True)
    shutil.copyfile(sqlite_template, made / "richregime.sqlite3")
    return made


@pytest.fixture
def healthy(home: Path, broker_server: str) -> Settings:
    """Settings of a deployment whose worker listens and whose broker responds."""
    settings = make_settings(home, broker_url=f"unix://{broker_server}")
    with open_database(settings) as db:
        add_listening_worker(db)
    return settings
