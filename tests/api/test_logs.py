"""The log: one JSON line per request, and no secrets."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api.middleware.request_middleware import OWN_ID
from runtime.logs import LogFormat, make_formatter, set_up_logging
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key

BODY = {"spec": {"kind": "train", "epochs": 1}, "reuse": False}


class Log:
    """Captures what the process logs, in one of the two formats."""

    def __init__(self, spec: LogFormat) -> None:
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(make_formatter(spec, "api"))

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    def lines(self, **fields: Any) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in found if fields.items() <= line.items()]


@pytest.fixture(params=list(LogFormat))
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    made = Log(request.param)
    yield from _listen(made)


@pytest.fixture
def json_log() -> Iterator[Log]:
    yield from _listen(Log(LogFormat.JSON))


def _listen(log: Log) -> Iterator[Log]:
    root, requests = logging.getLogger(), logging.getLogger("richregime.requests")
    levels = root.level, requests.level
    root.addHandler(log.handler)
    root.setLevel(logging.INFO)
    requests.setLevel(logging.INFO)
    yield log
    root.removeHandler(log.handler)
    root.setLevel(levels[0])
    requests.setLevel(levels[1])


@pytest.fixture
def keyed(tmp_path: Path, sqlite_template: Path) -> Iterator[ApiServer]:
    (tmp_path / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    with serve_api(make_settings(tmp_path)) as opened:
        yield opened


def test_a_request_is_one_line_with_its_id_key_and_owner(keyed: ApiServer, json_log: Log) -> None:
    key = make_key(keyed.db)
    headers = {"Authorization": f"Bearer {key}", "X-Request-ID": "from-the-proxy.1"}
    response = keyed.http.get("/experiments/exp_none?token=abc", headers=headers)
    assert response.headers["X-Request-ID"] == "from-the-proxy.1"
    assert response.json()["request_id"] == "from-the-proxy.1"
    (line,) = json_log.lines(request_id="from-the-proxy.1")
    assert line["route"] == "/experiments/{experiment_id}"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/experiments/exp_none", 404)
    assert (line["owner"], line["key_id"]) == ("ada", key[: key.index("_", 4)])
    assert (line["process"], line["level"], line["logger"]) == (
        "api",
        "info",
        "richregime.requests",
    )
    assert line["seconds"] >= 0
    assert line["time"].endswith("Z")


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "a\tb", '{"level":"error"}'])
def test_an_unsafe_request_id_is_replaced(api_server: ApiServer, given: str) -> None:
    response = api_server.http.get("/healthz", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{16}", response.headers["X-Request-ID"])
    assert OWN_ID.fullmatch(given) is None


def test_no_secret_is_ever_logged(keyed: ApiServer, log: Log) -> None:
    """Neither keys, webhook secrets, tokens in URLs nor database passwords."""
    key = make_key(keyed.db)
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    token = secrets.token_urlsafe(12)
    body = {**BODY, "webhook": {"url": f"https://example.org/hook?token={token}", "secret": secret}}
    mine = {"Authorization": f"Bearer {key}"}

    assert keyed.http.post("/experiments", json=body, headers=mine).status_code == 201
    assert (
        keyed.http.get("/experiments", headers={"Authorization": f"Bearer {wrong}"}).status_code
        == 401
    )
    assert keyed.http.get(f"/experiments?key={key}", headers=mine).is_success
    with keyed.db.write() as session:  # the database's error message holds the secret
        session.execute(
            text(
                "CREATE TRIGGER refuse BEFORE INSERT ON webhook "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        )
    assert keyed.http.post("/experiments", json=body, headers=mine).status_code == 500
    try:
        raise ValueError(
            f"postgresql://richregime:pass-{token}@database/richregime did not take {key}"
        )
    except ValueError:
        logging.getLogger("richregime.api").exception("it went wrong: %s", secret)

    assert "INSERT INTO webhook" in log.text, "the fault was logged"
    assert "it went wrong" in log.text
    assert "://richregime:***@database" in log.text
    hidden = [key.split("_", 2)[2][-16:], secret.removeprefix("whsec_")[:-1], token]
    assert [one for one in hidden if one in log.text] == []


def test_an_internal_error_is_one_line_with_request_id_and_traceback(
    keyed: ApiServer, json_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("api.routes.service.list_workers", fail)
    response = keyed.http.get("/workers", headers={"X-Request-ID": "faulty"})
    assert response.status_code == 500
    (line,) = json_log.lines(request_id="faulty", level="error")
    assert "ZeroDivisionError: on purpose" in line["exception"]
    assert (keyed.http.get("/healthz").status_code, len(json_log.lines(request_id="faulty"))) == (
        200,
        2,
    )


def test_the_text_log_has_no_line_per_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    logger = logging.getLogger("richregime.requests")
    before = logger.level
    set_up_logging(LogFormat.TEXT, "api")
    assert not logger.isEnabledFor(logging.INFO)
    set_up_logging(LogFormat.JSON, "api")
    assert logger.isEnabledFor(logging.INFO)
    logger.setLevel(before)
