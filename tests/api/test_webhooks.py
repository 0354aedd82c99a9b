"""Webhooks of a running service: deliveries, retries, and refused addresses."""

from __future__ import annotations

import io
import logging
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.experiments.check_webhook import is_public
from runtime.settings import Settings
from storage.experiments.finalize import experiments_without_summary
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.webhook_receiver import SECRET, Receiver, respond_after, serve_receiver
from tests.postgres import new_database
from tests.waiting import wait_until

OF_SERVICE = "whsec_" + "b3RoZXIg" * 5
QUICK = {"reconcile_seconds": 0.05, "webhook_retry_seconds": 0.05, "webhook_allow_private": True}
PRIVATE = [
    *(
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0.0.0.0",
        "localhost",
        "LOCALHOST.",
        "api.localhost",
    ),
    *(
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "224.0.0.1",
        "240.0.0.1",
    ),
    *("[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[ff02::1]", "[::ffff:10.0.0.1]", "[fec0::1]"),
    *("[2002:a00:1::]", "[64:ff9b::a00:1]", "[2001:db8::1]"),
]


@pytest.fixture(scope="module")
def api_server(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[ApiServer]:
    """A service with a secret of its own that sends due deliveries continuously."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
    with serve_api(make_settings(home, webhook_secret=OF_SERVICE, **QUICK)) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgres"])
def api_on_both_databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ApiServer]:
    """That service on SQLite, then on Postgres."""
    if request.param == "sqlite":
        yield request.getfixturevalue("api_server")
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        settings = make_settings(tmp_path, database_url=url, webhook_secret=OF_SERVICE, **QUICK)
        with serve_api(settings) as opened:
            yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serve_receiver() as opened:
        yield opened


def body(receiver: Receiver, secret: str | None = SECRET, **fields: Any) -> dict[str, Any]:
    webhook = {"url": receiver.url, **({"secret": secret} if secret else {})}
    return {"spec": {"kind": "train"}, "reuse": False, "webhook": webhook, **fields}


def outcomes(api_server: ApiServer, experiment_id: str, count: int) -> list[dict[str, Any]]:
    """Wait for this many delivery events of the experiment; returns them."""

    def find_events() -> list[dict[str, Any]]:
        events = api_server.get(f"/experiments/{experiment_id}/events", limit=200)["items"]
        found = [event for event in events if event["name"].startswith("webhook.")]
        return found if len(found) >= count else []

    found: list[dict[str, Any]] = wait_until(find_events)
    return found


def end(api_server: ApiServer, experiment_id: str, status: str) -> None:
    if status == "succeeded":
        api_server.finish_all_runs(experiment_id)
    elif status == "failed":
        claimed = api_server.claim_run(experiment_id)
        assert claimed is not None
        api_server.fail_run(claimed)
    else:
        assert api_server.http.post(f"/experiments/{experiment_id}/cancel").status_code == 200


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_each_final_status_is_sent_by_one_signed_post(
    api_on_both_databases: ApiServer, receiver: Receiver, status: str
) -> None:
    experiment_id = api_on_both_databases.submit(body(receiver, name="mine"))["id"]
    end(api_on_both_databases, experiment_id, status)
    (event,) = outcomes(api_on_both_databases, experiment_id, 1)
    (received,) = receiver.received
    assert received.is_signed_with(SECRET)
    assert received.headers["content-type"] == "application/json"
    payload = received.payload
    now = api_on_both_databases.get(f"/experiments/{experiment_id}")
    assert (payload["type"], payload["timestamp"]) == (f"experiment.{status}", now["finished_at"])
    assert payload["data"] == {name: now[name] for name in payload["data"]}
    assert {"id", "kind", "status", "reason", "counts", "links"} < set(payload["data"])
    assert event["name"] == "webhook.delivered"
    assert event["data"] == {
        "id": received.id,
        "to": f"http://127.0.0.1:{receiver.port}",
        "attempt": 1,
        "status_code": 204,
    }


def test_a_delivery_is_retried_until_the_receiver_recovers(
    api_server: ApiServer, receiver: Receiver
) -> None:
    receiver.responses = [503, lambda handler: handler.connection.close(), 307, 200]
    experiment_id = api_server.submit(body(receiver))["id"]
    end(api_server, experiment_id, "cancelled")
    events = outcomes(api_server, experiment_id, 4)
    assert [event["name"] for event in events] == ["webhook.failed"] * 3 + ["webhook.delivered"]
    assert [event["data"].get("retry_seconds") for event in events] == [0.05, 0.1, 0.2, None]
    assert [event["data"].get("detail", "")[:20] for event in events[:3]] == [
        "returned 503",
        "could not be reached",
        "returned 307",
    ]
    first, *others = receiver.received
    assert len(others) == 3, "the redirect was not followed"
    assert {(one.id, one.body) for one in others} == {(first.id, first.body)}
    assert all(one.is_signed_with(SECRET) for one in receiver.received)


def test_a_delivery_is_given_up_after_its_last_attempt(
    api_server: ApiServer, receiver: Receiver
) -> None:
    receiver.responses = [500] * 100
    experiment_id = api_server.submit(body(receiver))["id"]
    end(api_server, experiment_id, "cancelled")
    events = outcomes(api_server, experiment_id, 6)
    assert [event["data"]["attempt"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert events[-1]["data"]["retry_seconds"] is None
    other = api_server.submit(body(receiver))["id"]
    end(api_server, other, "cancelled")
    outcomes(api_server, other, 6)
    assert len(receiver.received) == 12, "the first was not sent again while the second was"


def test_a_hanging_receiver_blocks_nothing_else(api_server: ApiServer, receiver: Receiver) -> None:
    released = threading.Event()
    receiver.responses = [respond_after(released, 204)]
    hanging = api_server.submit(body(receiver))["id"]
    end(api_server, hanging, "cancelled")
    receiver.wait_for(1)
    other = api_server.submit({"spec": {"kind": "train"}, "reuse": False})["id"]
    claimed = api_server.claim_run(other)
    assert claimed is not None
    api_server.finish_run(claimed)

    def is_summarised() -> bool:
        with api_server.db.read() as session:
            return other not in experiments_without_summary(session, limit=1000)

    wait_until(is_summarised, 9.0)
    assert len(receiver.received) == 1
    released.set()
    (event,) = outcomes(api_server, hanging, 1)
    assert event["name"] == "webhook.delivered"


def test_a_reopened_experiment_is_sent_again_at_its_next_end(
    api_server: ApiServer, receiver: Receiver
) -> None:
    experiment_id = api_server.submit(body(receiver))["id"]
    end(api_server, experiment_id, "failed")
    receiver.wait_for(1)
    assert api_server.http.post(f"/experiments/{experiment_id}/retry").status_code == 200
    end(api_server, experiment_id, "succeeded")
    first, second = receiver.wait_for(2)
    assert (first.payload["type"], second.payload["type"]) == (
        "experiment.failed",
        "experiment.succeeded",
    )
    assert first.payload["data"]["reason"] == "out_of_memory"
    assert first.id != second.id


def test_the_webhook_does_not_change_the_digest(api_server: ApiServer, receiver: Receiver) -> None:
    spec = {"kind": "train", "epochs": 17}
    first = api_server.submit({"spec": spec})
    with serve_receiver() as second_receiver:
        for _ in range(2):
            second = api_server.submit(body(second_receiver, spec=spec, reuse=True))
        assert (second["id"], second["reused"], second["digest"]) == (
            first["id"],
            True,
            first["digest"],
        )
        end(api_server, first["id"], "succeeded")
        second_receiver.wait_for(1)
        third = api_server.http.post(
            "/experiments",
            json=body(receiver, spec=spec, reuse=True),
            headers={"Idempotency-Key": "webhook-1"},
        )
        assert third.json()["reused"] is True
        (late,) = receiver.wait_for(1)
        assert late.payload["type"] == "experiment.succeeded", (
            "it has ended already, so the delivery is sent at once"
        )
        again = api_server.http.post(
            "/experiments",
            json=body(receiver, spec=spec, reuse=True),
            headers={"Idempotency-Key": "webhook-1"},
        )
        assert again.json() == third.json()
        assert len(outcomes(api_server, first["id"], 2)) == 2
        assert (len(receiver.received), len(second_receiver.received)) == (1, 1)


def test_the_service_s_secret_signs_by_default(api_server: ApiServer, receiver: Receiver) -> None:
    end(api_server, api_server.submit(body(receiver, secret=None))["id"], "cancelled")
    (received,) = receiver.wait_for(1)
    assert received.is_signed_with(OF_SERVICE)
    assert not received.is_signed_with(SECRET)


def test_deleting_an_experiment_deletes_its_pending_deliveries(
    api_server: ApiServer, receiver: Receiver
) -> None:
    released = threading.Event()
    receiver.responses = [respond_after(released, 500)]
    experiment_id = api_server.submit(body(receiver))["id"]
    end(api_server, experiment_id, "cancelled")
    receiver.wait_for(1)
    assert api_server.http.delete(f"/experiments/{experiment_id}").json()["deleted"] is True
    released.set()
    other = api_server.submit(body(receiver))["id"]
    end(api_server, other, "cancelled")
    outcomes(api_server, other, 1)
    assert [one.payload["data"]["id"] for one in receiver.received] == [experiment_id, other]


@pytest.fixture(scope="module")
def strict_api_server(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[ApiServer]:
    """A service with default settings."""
    home = tmp_path_factory.mktemp("strict")
    shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
    with serve_api(make_settings(home)) as opened:
        yield opened


def errors_of(api_server: ApiServer, webhook: Any) -> list[tuple[str, str, str]]:
    """The errors of a submission and of its preview, which must be equal."""
    document = {"spec": {"kind": "train"}, "webhook": webhook}
    answers = [
        api_server.http.post(path, json=document)
        for path in ("/experiments", "/experiments/preview")
    ]
    assert [response.status_code for response in answers] == [422, 422], answers[0].text
    first, second = (response.json()["errors"] for response in answers)
    assert first == second
    return [(error["pointer"], error["code"], error["detail"]) for error in first]


@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_address_is_refused_at_submission(
    strict_api_server: ApiServer, host: str
) -> None:
    ((pointer, code, detail),) = errors_of(
        strict_api_server, {"url": f"http://{host}:8080/x", "secret": SECRET}
    )
    assert (pointer, code) == ("#/webhook/url", "address-refused")
    assert "RICHREGIME_WEBHOOK_ALLOW_PRIVATE=true" in detail


METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "192.0.0.192",
    "168.63.129.16",
    "100.100.100.200",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[fe80::a9fe:a9fe]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a83f:8110]",
    "[::169.254.169.254]",
    "[::ffff:0:169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::a83f:8110]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:1:2::5601:5601]",
)
"""Spellings of the metadata services of clouds; the last one is Teredo, with inverted bits."""


@pytest.mark.parametrize("host", METADATA)
@pytest.mark.parametrize("server", ["strict_api_server", "api_server"])
def test_a_metadata_service_is_refused_whatever_is_allowed(
    request: pytest.FixtureRequest, server: str, host: str
) -> None:
    opened = request.getfixturevalue(server)
    ((pointer, code, detail),) = errors_of(
        opened, {"url": f"http://{host}/latest/meta-data/", "secret": SECRET}
    )
    assert (pointer, code) == ("#/webhook/url", "address-refused")
    assert "no setting allows it" in detail


@pytest.mark.parametrize(
    "address",
    ["64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "::ffff:127.0.0.1", "::127.0.0.1", "2002:7f00:1::"],
)
def test_a_private_address_inside_an_ipv6_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["64:ff9b::1.1.1.1", "::ffff:1.1.1.1", "2606:4700::1111"])
def test_a_public_address_inside_an_ipv6_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["1.1.1.1", "[2606:4700::1111]", "hooks.example.org", "bücher.example"]
)
def test_public_addresses_and_other_names_are_accepted(
    strict_api_server: ApiServer, host: str
) -> None:
    webhook = {"url": f"https://{host}/x", "secret": SECRET}
    response = strict_api_server.http.post(
        "/experiments/preview", json={"spec": {"kind": "train"}, "webhook": webhook}
    )
    assert response.status_code == 200, response.text


def test_a_missing_secret_is_refused_with_a_remedy(strict_api_server: ApiServer) -> None:
    ((pointer, code, detail),) = errors_of(strict_api_server, {"url": "https://hooks.example.org"})
    assert (pointer, code) == ("#/webhook/secret", "secret-missing")
    assert "RICHREGIME_WEBHOOK_SECRET" in detail


@pytest.mark.parametrize(
    ("webhook", "expected"),
    [
        ({"url": "ftp://example.org", "secret": SECRET}, {"#/webhook/url"}),
        ({"url": "nothing", "secret": SECRET}, {"#/webhook/url"}),
        ({"url": "https://example.org/" + "x" * 2000, "secret": SECRET}, {"#/webhook/url"}),
        ({"url": "https://me:pass@example.org", "secret": SECRET}, {"#/webhook/url"}),
        ({"url": "http://10.0.0.1", "secret": "whsec_"}, {"#/webhook/url", "#/webhook/secret"}),
        ({"secret": SECRET}, {"#/webhook/url"}),
        ({"url": "https://example.org", "secret": SECRET, "more": 1}, {"#/webhook/more"}),
        ("https://example.org", {"#/webhook"}),
    ],
)
def test_errors_in_a_webhook_have_pointers(
    strict_api_server: ApiServer, webhook: Any, expected: set[str]
) -> None:
    assert {pointer for pointer, _, _ in errors_of(strict_api_server, webhook)} == expected


@pytest.mark.parametrize(
    "secret", ["hush-hush", "whsec_hush-hush", "whsec_" + "aHVzaA==", "whsec_" + "aHVz" * 30]
)
def test_an_invalid_secret_is_refused_and_not_repeated(
    strict_api_server: ApiServer, secret: str
) -> None:
    webhook = {"url": "https://example.org", "secret": secret}
    (found,) = errors_of(strict_api_server, webhook)
    assert found[:2] == ("#/webhook/secret", "secret-invalid")
    assert secret not in found[2]
    with pytest.raises(ValueError, match="RICHREGIME_WEBHOOK_SECRET") as refused:
        Settings(webhook_secret=secret)
    assert secret not in str(refused.value)


def test_no_secret_or_token_is_returned_exported_or_logged(
    api_server: ApiServer, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="richregime")
    receiver.responses = [500]
    experiment = api_server.submit(body(receiver))
    path = f"/experiments/{experiment['id']}"
    end(api_server, experiment["id"], "succeeded")
    outcomes(api_server, experiment["id"], 2)
    archive = api_server.http.get(f"{path}/export", params={"files": True}).content
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        exported = b"".join(opened.read(name) for name in opened.namelist())
    read = (path, "/experiments", f"{path}/runs", f"{path}/events", f"{path}/result", "/limits")
    texts = [api_server.http.get(one).text for one in (*read, f"/view/{experiment['id']}")]
    texts += [
        str(experiment),
        exported.decode(errors="replace"),
        caplog.text,
        repr(api_server.settings),
    ]
    texts += [received.body.decode() for received in receiver.received]
    assert "webhook.failed" in "".join(texts)
    assert "returned 500" in caplog.text
    for secret in (SECRET, OF_SERVICE, "T0KEN"):
        assert [text for text in texts if secret.removeprefix("whsec_") in text] == []
