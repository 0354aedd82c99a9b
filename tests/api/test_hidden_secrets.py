"""A secret in any place of a request reaches no log, no error, no audit entry and no other row."""

from __future__ import annotations

import base64
import io
import logging
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import MetaData, inspect, select

from runtime.logs import LogFormat, make_formatter
from schemas.access import Scope
from storage.database.engine import Database
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key
from tests.api.secret_places import places, send

OWN_COLUMNS = {("webhook", "secret"), ("webhook", "url")}
"""Where the service keeps what its user gave it to keep"""


@pytest.fixture
def keyed(tmp_path: Path, sqlite_template: Path) -> Iterator[ApiServer]:
    """A service that requires keys."""
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path)) as opened:
        make_key(opened.db)
        yield opened


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What all loggers write, at every level, in both formats."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers = [logging.StreamHandler(stream) for _ in LogFormat]
    for handler, spec in zip(handlers, LogFormat, strict=True):
        handler.setFormatter(make_formatter(spec, "api"))
        root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    yield stream
    root.setLevel(level)
    for handler in handlers:
        root.removeHandler(handler)


def spellings(secret: str) -> list[str]:
    """The secret part as it may be written: as it is, its end, and in base64."""
    hidden = secret.split("_", 2)[-1]
    whole = base64.b64encode(f"user:{secret}".encode()).decode()
    return [hidden, hidden[:20], hidden[-20:], whole[-24:]]


def stored_text(db: Database) -> Iterator[tuple[str, str, str]]:
    """(table, column, value) of every text in the database, except what a user gave it to keep."""
    with db.read() as session:
        metadata = MetaData()
        metadata.reflect(session.connection())
        assert "audit" in inspect(session.connection()).get_table_names()
        for table in metadata.sorted_tables:
            for row in session.execute(select(table)).mappings():
                for name, value in row.items():
                    if (table.name, name) not in OWN_COLUMNS:
                        yield table.name, str(name), str(value)


@pytest.mark.parametrize("sort", ["valid key", "unknown key", "webhook secret"])
def test_a_secret_in_any_place_is_shown_nowhere(
    sort: str, keyed: ApiServer, log: io.StringIO
) -> None:
    admin = {"Authorization": f"Bearer {make_key(keyed.db, Scope.ADMIN, owner='root')}"}
    refused = {"Authorization": "Bearer none", "Accept": "text/html"}
    secret = make_key(keyed.db, owner="eve")
    if sort == "unknown key":
        secret = "rrk_" + "0" * 22 + "_" + secrets.token_urlsafe(32)
    if sort == "webhook secret":
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    origin = str(keyed.http.base_url).rstrip("/")
    hidden = spellings(secret)
    found = []
    for place in places(secret, origin):
        for more in (refused, admin):
            shown = send(keyed, place, **more)
            found += [f"response to {place.name}: {part}" for part in parts_with(hidden, shown)]
    found += [f"log: {part}" for part in parts_with(hidden, log.getvalue())]
    for table, column, value in stored_text(keyed.db):
        found += [f"{table}.{column}: {part}" for part in parts_with(hidden, value)]
    assert not found, "\n".join(found)
    assert any(table == "audit" for table, *_ in stored_text(keyed.db))


def parts_with(hidden: Sequence[str], text: str) -> list[str]:
    """The text around each hidden part that it contains."""
    starts = [text.find(one) for one in hidden]
    return [text[max(0, start - 80) : start + 20] for start in starts if start >= 0]
