"""No secret of a setting, an address or a header is shown by what processes and commands print."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.logs import LogFormat, hide_secrets, make_formatter
from runtime.settings import Settings

ROOT = Path(__file__).parents[2]
HIDDEN = "hunter2-hunter2"
KEY = "rrk_18a3f0c2b4d9f0a1b2c3d4_" + "x" * 43


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (KEY, "rrk_18a3f0c2b4d9f0a1b2c3d4_***"),
        (f"xrrk_12_{'y' * 3}", "xrrk_12_***"),
        ("the key rrk_18a3f0c2b4d9f0a1b2c3d4 is revoked", None),
        ("`Authorization: Bearer rrk_...`", None),
        ("/whsec_ab%2Fcd+e=~1f", "/whsec_***"),
        ("redis://:pa:ss/wo@rd@broker:6379/0", "redis://:***@broker:6379/0"),
        ("postgresql+psycopg://me:x@db/richregime", "postgresql+psycopg://me:***@db/richregime"),
        ("https://ghp_0123456789abcdefgh@host/x", "https://***@host/x"),
        ("postgresql://richregime@db.lab/richregime", None),
        ("http://127.0.0.1:8000/a@b", None),
        ("GET /x?key=abc&n=1&Api-Token=def", "GET /x?key=***&n=1&Api-Token=***"),
        ("https://s3/x?X-Amz-Signature=ab12#part", "https://s3/x?X-Amz-Signature=***#part"),
        ("host=db password=secret user=me", "host=db password=*** user=me"),
        ("Authorization: Basic dXNlcjpodW50ZXIyaHVudGVy", "Authorization: Basic ***"),
        ("the basic questions remain", None),
        ("label=key:value", None),
    ],
)
def test_secrets_are_hidden_and_other_text_is_kept(text: str, shown: str | None) -> None:
    assert hide_secrets(text) == (text if shown is None else shown)


def test_credentials_of_an_object_store_are_hidden_wherever_they_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AWS repeats a session token in its answer to an expired one."""
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, HIDDEN)
        assert hide_secrets(f"<Token-0>{HIDDEN}</Token-0>") == "<Token-0>***</Token-0>"
        monkeypatch.delenv(name)


def test_settings_are_described_without_their_addresses(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        database_url=f"postgresql://me:{HIDDEN}@db/x",
        broker_url=f"redis://:{HIDDEN}@broker",
        webhook_secret="whsec_" + "a" * 32,
    )
    for described in (repr(settings), str(settings)):
        assert HIDDEN not in described
        assert "aaaa" not in described


CRASH = """
import sys, threading
from runtime.logs import LogFormat, set_up_logging
set_up_logging(LogFormat(sys.argv[1]), "api")
def fail():
    password = sys.argv[2]
    raise ConnectionError(f"redis://:{password}@broker did not answer")
thread = threading.Thread(target=fail, name="sender")
thread.start()
thread.join()
fail()
"""


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_an_exception_that_ends_a_process_is_logged_without_secrets(log_format: LogFormat) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CRASH, log_format, HIDDEN],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert HIDDEN not in ended.stderr
    assert ended.stderr.count("ConnectionError: redis://:***@broker did not answer") == 2
    assert "thread sender" in ended.stderr


def test_secrets_in_the_fields_of_a_json_line_are_hidden() -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "request", None, None)
    record.path = f"/experiments/{KEY}"
    line = make_formatter(LogFormat.JSON, "api").format(record)
    assert "xxx" not in line
    assert "/experiments/rrk_18a3f0c2b4d9f0a1b2c3d4_***" in line
