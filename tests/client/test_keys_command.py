"""`richregime keys`, and the key that commands send."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from richregime import Client
from richregime.cli import app
from storage.access.audit import list_entries
from storage.access.keys import find_key
from storage.database.engine import Database

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


def test_default_scopes_are_read_submit_and_cancel(tmp_path: Path) -> None:
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
