"""`richregime keys`, and the key that commands send."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from richregime import Client
from richregime.cli import app
from storage.access.audit import list_entries
from storage.access.keys import find_key
from storage.database.engine import Database
from storage.database.tables import ExperimentRow
from tests.storage.conftest import Store

RUNNER = CliRunner()


def keys(home: Path, *arguments: str) -> Any:
    return RUNNER.invoke(app, ["keys", *arguments, "--home", str(home)])


def test_a_key_is_created_listed_and_revoked(tmp_path: Path) -> None:
    made = keys(
        tmp_path, "create", "--owner", "ada", "--scope", "read", "--scope", "admin", "--days", "30"
    )
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert re.fullmatch(r"rrk_[0-9a-f]{22}_[\w-]{43}", key)
    listed = keys(tmp_path, "list")
    key_id = key[:26]
    assert key_id in listed.stdout
    assert key not in listed.stdout
    assert re.search(r"ada +read,admin +expires \d{4}-", listed.stdout)
    assert keys(tmp_path, "revoke", key_id).exit_code == 0
    assert "revoked" in keys(tmp_path, "list").stdout
    again = json.loads(keys(tmp_path, "list", "--json").stdout)
    assert again[0]["revoked_at"] is not None
    db = Database(f"sqlite:///{tmp_path / 'richregime.sqlite3'}")
    with db.read() as session:
        found = find_key(session, key)
        trail, _ = list_entries(session, limit=10)
    db.dispose()
    assert found is not None
    assert found.id == key_id
    assert [(entry.action, entry.target, entry.detail) for entry in trail] == [
        ("key-revoked", key_id, None),
        ("key-made", key_id, "for ada: read admin"),
    ]


def test_the_first_key_is_an_admins_and_later_ones_read_submit_and_cancel(tmp_path: Path) -> None:
    first = json.loads(keys(tmp_path, "create", "--owner", "root", "--json").stdout)
    assert first["scopes"] == ["admin"]
    made = json.loads(keys(tmp_path, "create", "--owner", "ada", "--json").stdout)
    assert (made["scopes"], made["expires_at"]) == (["read", "submit", "cancel"], None)
    assert made["key"].startswith(made["id"])


@pytest.mark.parametrize("owner", ["", " ada", "a b", "-ada", "ä", "x" * 65, "ada\n"])
def test_an_invalid_owner_is_refused(tmp_path: Path, owner: str) -> None:
    assert keys(tmp_path, "create", f"--owner={owner}").exit_code == 2


def test_revoking_an_unknown_key_fails(tmp_path: Path) -> None:
    refused = keys(tmp_path, "revoke", "rrk_0")
    assert refused.exit_code == 1
    assert "no key 'rrk_0'" in refused.stderr


def test_commands_send_the_given_key(live_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str | None] = []

    def record_key(
        self: Client, url: str | None = None, *, key: str | None = None, **_: Any
    ) -> None:
        sent.append(key)
        raise SystemExit(0)

    monkeypatch.setattr(Client, "__init__", record_key)
    RUNNER.invoke(app, ["--key", "rrk_1_2", "list", "--url", live_url])
    RUNNER.invoke(app, ["list", "--url", live_url])
    assert sent == ["rrk_1_2", None]


@pytest.fixture
def ownerless_work(tmp_path: Path) -> Database:
    """The database of a service with an experiment from before the first key."""
    db = Database(f"sqlite:///{tmp_path / 'richregime.sqlite3'}")
    db.upgrade()
    Store(db).submit()
    return db


def owners(db: Database) -> list[str]:
    with db.read() as session:
        return [row.owner for row in session.scalars(select(ExperimentRow))]


def test_the_first_key_asks_what_happens_to_the_work_without_an_owner(
    tmp_path: Path, ownerless_work: Database
) -> None:
    refused = keys(tmp_path, "create", "--owner", "ada")
    assert refused.exit_code == 2
    assert "1 experiments, 1 runs without an owner" in " ".join(refused.stderr.split())
    assert "--no-adopt" in refused.stderr
    assert keys(tmp_path, "list").stdout == ""
    made = keys(tmp_path, "create", "--owner", "ada", "--adopt", "--json")
    assert made.exit_code == 0, made.output
    assert "ada now owns 1 experiments, 1 runs" in made.stderr
    assert json.loads(made.stdout)["scopes"] == ["admin"]
    assert owners(ownerless_work) == ["ada"]


@pytest.mark.parametrize(("answer", "owner"), [("y\n", "ada"), ("n\n", "")])
def test_on_a_terminal_the_first_key_asks(
    tmp_path: Path,
    ownerless_work: Database,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    owner: str,
) -> None:
    monkeypatch.setattr("ops.keys._is_terminal", lambda: True)
    made = RUNNER.invoke(
        app, ["keys", "create", "--owner", "ada", "--home", str(tmp_path)], input=answer
    )
    assert made.exit_code == 0, made.output
    assert made.stdout.splitlines()[-1].startswith("rrk_")
    assert owners(ownerless_work) == [owner]


def test_work_that_was_not_adopted_can_be_handed_over_later(
    tmp_path: Path, ownerless_work: Database
) -> None:
    assert keys(tmp_path, "create", "--owner", "ada", "--no-adopt").exit_code == 0
    assert keys(tmp_path, "create", "--owner", "ben").exit_code == 0
    assert owners(ownerless_work) == [""]
    counted = keys(tmp_path, "hand-over", "--to", "ben", "--dry-run")
    assert counted.stdout == "1 experiments, 1 runs would be handed over to ben\n"
    assert owners(ownerless_work) == [""]
    assert keys(tmp_path, "hand-over", "--to", "ben").exit_code == 0
    assert owners(ownerless_work) == ["ben"]
    moved = keys(tmp_path, "hand-over", "--from", "ben", "--to", "ada")
    assert moved.stdout == "1 experiments, 1 runs were handed over to ada\n"
    assert owners(ownerless_work) == ["ada"]


def test_work_is_not_handed_over_to_its_owner(tmp_path: Path) -> None:
    assert keys(tmp_path, "hand-over", "--from", "ben", "--to", "ben").exit_code == 2
