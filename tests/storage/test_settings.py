"""Settings are read from variables and validated."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.setting_errors import variable_of
from runtime.settings import Settings, read_settings
from storage.database.engine import Database
from storage.delivery.wake_ups import socket_path


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
    with pytest.raises(ValueError, match="at most a third of RICHREGIME_LEASE_SECONDS"):
        Settings()


def test_an_empty_variable_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)
    usual = Settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(variable_of(name), "")
    assert Settings() == usual


WRONG = [
    ("PORT", "70000", "RICHREGIME_PORT is '70000': allowed is int from 0 to 65,535"),
    ("PORT", "80a", "RICHREGIME_PORT is '80a': allowed is int from 0 to 65,535"),
    ("CPU_WORKERS", "0", "RICHREGIME_CPU_WORKERS is '0': allowed is int from 1 to 256"),
    ("LEASE_SECONDS", "-1", "RICHREGIME_LEASE_SECONDS is '-1': allowed is float > 0"),
    ("LOG_FORMAT", "xml", "RICHREGIME_LOG_FORMAT is 'xml': allowed is `text` or `json`"),
    ("ALLOW_PUBLIC", "x\ny", r"RICHREGIME_ALLOW_PUBLIC is 'x\ny': allowed is `true` or `false`"),
    ("WORKER_LABELS", "basement", "RICHREGIME_WORKER_LABELS is 'basement': 'basement' is not"),
    ("DATABASE_URL", "mysql://u:hidden@h/d", "RICHREGIME_DATABASE_URL is '***@h/d': it is like"),
    ("DATABASE_URL", "u:hidden@h", "RICHREGIME_DATABASE_URL is '***@h': it is like postgresql://"),
    ("DATABASE_URL", "sqlite://", "RICHREGIME_DATABASE_URL is 'sqlite://': it is like"),
    ("BROKER_URL", "redis://:hidden@h:port", "RICHREGIME_BROKER_URL is '***@h:port': it is like"),
    ("BROKER_URL", "localhost:6379", "RICHREGIME_BROKER_URL is 'localhost:6379': it is like"),
    ("BLOB_URL", "bucket", "RICHREGIME_BLOB_URL is 'bucket': it is like s3://BUCKET/PREFIX"),
    ("WEBHOOK_SECRET", "whsec_hidden", "RICHREGIME_WEBHOOK_SECRET is not valid (its value is not"),
    ("ROOT_PATH", "/a b", "RICHREGIME_ROOT_PATH is '/a b': "),
    ("HOME", "~no-such-user/x", "RICHREGIME_HOME is '~no-such-user/x': this user has no home"),
]


@pytest.mark.parametrize(("name", "value", "line"), WRONG)
def test_a_wrong_value_is_one_line_with_variable_value_and_range(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    line: str,
) -> None:
    monkeypatch.setenv(f"RICHREGIME_{name}", value)
    with pytest.raises(SystemExit) as ended:
        read_settings()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(line)
    assert printed.count("\n") == 1
    assert "hidden" not in printed


@pytest.mark.parametrize("module", ["api.app", "workers.entry", "richregime"])
def test_each_program_ends_with_one_line_and_code_2(module: str) -> None:
    command = [sys.executable, "-m", module]
    ended = subprocess.run(
        [*command, "keys", "list"] if module == "richregime" else command,
        env={**os.environ, "RICHREGIME_PORT": "70000"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "RICHREGIME_PORT is '70000': allowed is int from 0 to 65,535\n"


def test_a_tilde_is_the_users_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RICHREGIME_BLOB_DIR", "~/files")
    settings = Settings(home=Path("~/state"))
    assert (settings.home, settings.blob_dir) == (tmp_path / "state", tmp_path / "files")


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%20b", "a b", "ü", "a?b#c%d é ü:@&"])
def test_any_character_may_be_in_the_path_of_the_home(tmp_path: Path, name: str) -> None:
    settings = Settings(home=tmp_path / name, database_url=None, broker_url=None)
    db = Database(settings.resolved_database_url)
    db.upgrade()
    db.dispose()
    assert (tmp_path / name / "richregime.sqlite3").stat().st_size > 0
    assert re.fullmatch(r"[A-Za-z0-9/._-]{1,100}", socket_path(settings))
