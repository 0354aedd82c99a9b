"""Webhooks in the format of Slack: what a real receiver gets, what is escaped, what is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.background.slack_message import MAX_DETAIL, slack_body
from runtime.setting_errors import InvalidSetting
from schemas.webhooks import WebhookPayload
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.webhook_receiver import SECRET, Receiver, serve_receiver
from tests.postgres import new_database

HOSTILE = "<!channel> a&b *c* <https://evil.test|click>\nsecond line"
ESCAPED = "&lt;!channel&gt; a&amp;b *c* &lt;https://evil.test|click&gt; second line"
QUICK = {"reconcile_seconds": 0.05, "webhook_retry_seconds": 0.05, "webhook_allow_private": True}
MADE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def api(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path
) -> Iterator[ApiServer]:
    """A service without a secret, with a public address."""
    options: dict[str, Any] = {**QUICK, "public_url": "https://lab.test/rr/"}
    if request.param == "sqlite":
        shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
        with serve_api(make_settings(tmp_path, **options)) as opened:
            yield opened
        return
    with (
        new_database(request.getfixturevalue("postgres_server")) as url,
        serve_api(make_settings(tmp_path, database_url=url, **options)) as opened,
    ):
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serve_receiver() as opened:
        yield opened


def submit(api: ApiServer, webhook: dict[str, Any], **more: Any) -> str:
    body = {"spec": {"kind": "train"}, "reuse": False, "webhook": webhook, **more}
    return str(api.submit(body)["id"])


def test_slack_gets_one_line_of_text_without_a_secret(api: ApiServer, receiver: Receiver) -> None:
    made = submit(api, {"url": receiver.url, "format": "slack"}, name=HOSTILE, seeds=[0, 1])
    api.finish_all_runs(made)
    (received,) = receiver.wait_for(1)
    assert received.headers["content-type"] == "application/json"
    assert "webhook-signature" not in received.headers
    assert list(received.payload) == ["text"]
    times = r"after [\w. ]+ \(it had waited [\w. ]+\)"
    link = re.escape(f"<https://lab.test/rr/view/{made}|{made}>")
    expected = rf"{re.escape(ESCAPED)} has succeeded {times}, \d runs?: {link}"
    assert re.fullmatch(expected, received.payload["text"]), received.payload


def test_a_failure_tells_its_reason_and_a_retry_has_the_same_text(
    api: ApiServer, receiver: Receiver
) -> None:
    receiver.responses = [500, 204]
    made = submit(api, {"url": receiver.url, "format": "slack", "secret": SECRET})
    claimed = api.claim_run(made)
    assert claimed is not None
    api.fail_run(claimed)
    first, second = receiver.wait_for(2)
    assert first.body == second.body
    assert first.id == second.id
    assert second.is_signed_with(SECRET), "with a secret of its own it is signed"
    line, reason = second.payload["text"].split("\n")
    assert "0 of 1 run succeeded" in line
    assert reason.startswith(api.get(f"/experiments/{made}")["reason"])


def test_both_formats_to_one_address_are_two_deliveries(api: ApiServer, receiver: Receiver) -> None:
    body = {"spec": {"kind": "train"}, "seeds": [7]}
    standard = {"url": receiver.url, "secret": SECRET}
    made = api.submit({**body, "webhook": standard})["id"]
    for _ in range(2):  # the second time adds nothing
        again = api.submit({**body, "webhook": {**standard, "format": "slack"}})
        assert again["id"] == made
    api.http.post(f"/experiments/{made}/cancel")
    kinds = sorted(next(iter(one.payload)) for one in receiver.wait_for(2))
    assert kinds == ["text", "type"]


def test_an_unknown_format_and_a_missing_secret_are_told(api: ApiServer) -> None:
    body = {"spec": {"kind": "train"}, "webhook": {"url": "https://hooks.test/x", "format": "irc"}}
    refused = api.http.post("/experiments", json=body)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["pointer"] == "#/webhook/format"
    assert "slack" in error["detail"]
    body["webhook"] = {"url": "https://hooks.test/x"}
    (error,) = api.http.post("/experiments", json=body).json()["errors"]
    assert (error["pointer"], error["code"]) == ("#/webhook/secret", "secret-missing")


def payload(**changes: Any) -> WebhookPayload:
    data = {
        "id": "exp_1",
        "kind": "train",
        "name": None,
        "labels": {},
        "status": "succeeded",
        "reason": None,
        "detail": None,
        "counts": {"succeeded": 12},
        "num_points": 1,
        "seeds": [0],
        "digest": "x",
        "created_at": MADE,
        "started_at": MADE + timedelta(seconds=2),
        "finished_at": MADE + timedelta(seconds=202),
        "links": {},
        **changes,
    }
    kind = f"experiment.{data['status']}"
    return WebhookPayload.model_validate(
        {"type": kind, "timestamp": data["finished_at"], "data": data}
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {},
            "train experiment has succeeded after 3 min 20 s (it had waited 2 s), 12 runs: exp_1",
        ),
        (
            {"status": "cancelled", "started_at": None, "counts": {"cancelled": 1}},
            "train experiment was cancelled after 3 min 22 s, before it started, "
            "0 of 1 run succeeded: exp_1",
        ),
        (
            {
                "name": "a",
                "status": "failed",
                "reason": "internal",
                "detail": "<b>\n" + "x" * 999,
                "counts": {"succeeded": 1, "failed": 1},
            },
            "a has failed after 3 min 20 s (it had waited 2 s), 1 of 2 runs succeeded: exp_1\n"
            "internal: &lt;b&gt; " + "x" * (MAX_DETAIL - 4) + "…",
        ),
    ],
    ids=["succeeded", "cancelled", "failed"],
)
def test_the_text_tells_status_and_times_in_words(changes: dict[str, Any], text: str) -> None:
    assert json.loads(slack_body(payload(**changes), None)) == {"text": text}


@pytest.mark.parametrize(
    "url",
    [
        "lab.test",
        "ftp://lab.test",
        "https://",
        "https://ada:x@lab.test",
        "https://lab.test?x",
        "https://lab.test/a|b",
        "https://lab.test/a>b",
        "https://lab.test:99999",
    ],
)
def test_a_public_address_is_one_of_a_web_site(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidSetting, match="RICHREGIME_PUBLIC_URL"):
        make_settings(tmp_path, public_url=url)
