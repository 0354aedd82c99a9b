"""Fixtures: running APIs with and without keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key
from tests.postgres import new_database


@pytest.fixture(scope="module")
def api_server(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[ApiServer]:
    """One API without keys, shared by the tests of a file."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
    with serve_api(make_settings(home)) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgres"])
def api_on_both_databases(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path
) -> Iterator[ApiServer]:
    """An API on SQLite, then one on Postgres."""
    if request.param == "sqlite":
        shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
        with serve_api(make_settings(tmp_path)) as opened:
            yield opened
        return
    server = request.getfixturevalue("postgres_server")
    with (
        new_database(server) as url,
        serve_api(make_settings(tmp_path, database_url=url)) as opened,
    ):
        yield opened


@pytest.fixture(scope="module")
def api_with_keys(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[ApiServer]:
    """One API with a key in its database, shared by the tests of a file."""
    home = tmp_path_factory.mktemp("closed")
    shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
    with serve_api(make_settings(home)) as opened:
        make_key(opened.db)
        yield opened
