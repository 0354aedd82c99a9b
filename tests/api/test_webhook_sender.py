"""The webhook sender, pass by pass, on both databases."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from api.background import webhook_sender as deliveries
from api.background.webhook_sender import MAX_IN_FLIGHT, send_due_deliveries, sign
from api.experiments import check_webhook
from ops.up import Stack
from runtime.fault_points import FOLDER_VARIABLE
from runtime.settings import Settings
from schemas.webhooks import DeliveryState, Webhook, read_key
from storage.database.engine import Database
from storage.database.tables import DeliveryRow
from storage.delivery import webhooks
from storage.experiments.status import attach_webhook
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key
from tests.api.webhook_receiver import SECRET, Receiver, respond_after, serve_receiver
from tests.postgres import new_database
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
SEND = """
from api.background.webhook_sender import Database, Settings, send_due_deliveries
send_due_deliveries(Database(Settings().resolved_database_url), Settings())
"""
QUIET = {"reconcile_seconds": 3600.0, "webhook_allow_private": True}
"""An interval at which the service itself sends nothing during a test."""


@pytest.fixture(params=["sqlite", "postgres"])
def api_server(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path
) -> Iterator[ApiServer]:
    if request.param == "sqlite":
        shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
        with serve_api(make_settings(tmp_path, **QUIET)) as opened:
            yield opened
        return
    server = request.getfixturevalue("postgres_server")
    with (
        new_database(server) as url,
        serve_api(make_settings(tmp_path, database_url=url, **QUIET)) as opened,
    ):
        yield opened


on_one_database = pytest.mark.parametrize("api_server", ["sqlite"], indirect=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serve_receiver() as opened:
        yield opened


def cancel_one(api_server: ApiServer, url: str) -> str:
    """Cancel an experiment with a webhook, which is added without the checks of a submission."""
    experiment_id = str(api_server.submit({"spec": {"kind": "train"}, "reuse": False})["id"])
    with api_server.db.write() as session:
        attach_webhook(
            session, experiment_id, Webhook.model_validate({"url": url, "secret": SECRET})
        )
    assert api_server.http.post(f"/experiments/{experiment_id}/cancel").status_code == 200
    return experiment_id


def webhook_events(api_server: ApiServer, experiment_id: str) -> list[tuple[str, Any]]:
    """(name, detail) of each event of its deliveries."""
    events = api_server.get(f"/experiments/{experiment_id}/events", limit=200)["items"]
    return [
        (event["name"], event["data"].get("detail"))
        for event in events
        if event["name"].startswith("webhook.")
    ]


def delivery_states(api_server: ApiServer) -> list[tuple[str, int]]:
    with api_server.db.read() as session:
        return [(row.state, row.attempts) for row in session.scalars(select(DeliveryRow))]


def make_due(api_server: ApiServer) -> None:
    """Make every delivery due, as if every lease had expired."""
    with api_server.db.write() as session:
        session.execute(text("UPDATE delivery SET due_at = created_at"))


def with_settings(api_server: ApiServer, **values: Any) -> Settings:
    return api_server.settings.model_copy(update=values)


def test_many_senders_send_each_delivery_once(api_server: ApiServer, receiver: Receiver) -> None:
    experiments = [cancel_one(api_server, receiver.url) for _ in range(12)]
    barrier = threading.Barrier(4)

    def send_as_another_process(_: int) -> None:
        own = Database(api_server.settings.resolved_database_url)
        barrier.wait()
        for _ in range(3):
            send_due_deliveries(own, api_server.settings)
        own.dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send_as_another_process, range(4)))
    assert len(receiver.received) == len({one.id for one in receiver.received}) == 12
    assert delivery_states(api_server) == [(DeliveryState.DELIVERED, 1)] * 12
    assert {one.payload["data"]["id"] for one in receiver.received} == set(experiments)


@pytest.mark.parametrize("lease", ["held", "over"])
def test_another_sender_sends_a_delivery_only_after_its_lease_has_expired(
    api_server: ApiServer, receiver: Receiver, lease: str
) -> None:
    """The outcome of the first sender is then ignored, and that of the second is stored."""
    released = threading.Event()
    receiver.responses = [respond_after(released, 204)]
    experiment_id = cancel_one(api_server, receiver.url)
    settings = with_settings(api_server, webhook_timeout_seconds=60.0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send_due_deliveries, api_server.db, settings)
        receiver.wait_for(1)
        if lease == "over":
            make_due(api_server)
        receiver.responses = [503]
        send_due_deliveries(api_server.db, settings)
        released.set()
        first.result(timeout=60)
    if lease == "held":
        assert webhook_events(api_server, experiment_id) == [("webhook.delivered", None)]
        assert delivery_states(api_server) == [("delivered", 1)]
        return
    assert webhook_events(api_server, experiment_id) == [("webhook.failed", "returned 503")]
    assert delivery_states(api_server) == [("pending", 2)]


def test_a_delivery_whose_sender_was_killed_is_sent_again(
    api_server: ApiServer, receiver: Receiver, tmp_path: Path
) -> None:
    faults = tmp_path / "faults"
    faults.mkdir()
    (faults / "delivery.1").write_text("kill")
    experiment_id = cancel_one(api_server, receiver.url)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RICHREGIME_")},
        "RICHREGIME_HOME": str(api_server.settings.home),
        "RICHREGIME_WEBHOOK_ALLOW_PRIVATE": "true",
        FOLDER_VARIABLE: str(faults),
    }
    if api_server.settings.database_url is not None:
        environment["RICHREGIME_DATABASE_URL"] = api_server.settings.database_url

    command = [sys.executable, "-c", SEND]
    killed = subprocess.run(command, env=environment, cwd=ROOT, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (len(receiver.received), webhook_events(api_server, experiment_id)) == (1, [])
    send_due_deliveries(api_server.db, api_server.settings)
    assert len(receiver.received) == 1, "nobody else sends it while the lease lasts"
    make_due(api_server)
    send_due_deliveries(api_server.db, api_server.settings)
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)
    assert second.is_signed_with(SECRET)
    assert webhook_events(api_server, experiment_id) == [("webhook.delivered", None)]


def test_a_delivery_that_kills_every_sender_is_given_up(api_server: ApiServer) -> None:
    experiment_id = cancel_one(api_server, "http://127.0.0.1:9/")
    for _ in range(api_server.settings.webhook_attempts):
        assert webhooks.claim_deliveries(api_server.db, limit=10, lease_seconds=60)
        make_due(api_server)
    send_due_deliveries(api_server.db, api_server.settings)
    assert webhook_events(api_server, experiment_id) == [
        ("webhook.failed", "the sender was lost during the last attempt")
    ]
    make_due(api_server)
    assert webhooks.claim_deliveries(api_server.db, limit=10, lease_seconds=60) == []


def test_a_webhook_added_while_the_experiment_ends_gets_a_delivery(api_server: ApiServer) -> None:
    """The transaction that ends it waits for the one that adds the webhook."""
    experiment_id = str(api_server.submit({"spec": {"kind": "train"}, "reuse": False})["id"])
    with ThreadPoolExecutor(1) as pool:
        with api_server.db.write() as session:
            webhook = Webhook.model_validate({"url": "http://127.0.0.1:9/", "secret": SECRET})
            attach_webhook(session, experiment_id, webhook)
            ending = pool.submit(api_server.http.post, f"/experiments/{experiment_id}/cancel")
            if api_server.settings.database_url is not None:
                wait_until(lambda: ending.done() or is_waiting_for_a_lock(api_server))
        assert ending.result(timeout=60).status_code == 200
    assert delivery_states(api_server) == [("pending", 0)]


def is_waiting_for_a_lock(api_server: ApiServer) -> bool:
    with api_server.db.read() as session:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(session.scalar(text(waiting)))


@on_one_database
def test_a_bad_delivery_does_not_block_the_others(
    api_server: ApiServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = cancel_one(api_server, "http://127.0.0.1:9/"), cancel_one(api_server, receiver.url)
    send = deliveries.send

    async def fail_on_bad(http: Any, settings: Settings, delivery: Any) -> int:
        if delivery.experiment_id == bad:
            raise RuntimeError
        return await send(http, settings, delivery)

    monkeypatch.setattr(deliveries, "send", fail_on_bad)
    send_due_deliveries(api_server.db, api_server.settings)
    assert (webhook_events(api_server, bad), webhook_events(api_server, good)) == (
        [],
        [("webhook.delivered", None)],
    )


def test_a_receiver_that_hangs_delays_no_other(api_server: ApiServer, receiver: Receiver) -> None:
    """Neither another owner's, nor its own owner's other receivers."""
    ada, ben = make_key(api_server.db), make_key(api_server.db, owner="ben")
    released = threading.Event()
    with serve_receiver() as hanging:
        hanging.responses = [respond_after(released, 204) for _ in range(40)]
        api_server.http.headers["Authorization"] = f"Bearer {ada}"
        held = [cancel_one(api_server, hanging.url) for _ in range(MAX_IN_FLIGHT + 8)]
        own = cancel_one(api_server, receiver.url)
        api_server.http.headers["Authorization"] = f"Bearer {ben}"
        others = cancel_one(api_server, receiver.url)
        settings = with_settings(api_server, webhook_timeout_seconds=60.0, reconcile_seconds=0.05)
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send_due_deliveries, api_server.db, settings)
            receiver.wait_for(2)
            late = cancel_one(api_server, receiver.url)
            receiver.wait_for(3)
            assert len(hanging.received) == webhooks.MAX_OF_RECEIVER
            released.set()
            sending.result(timeout=60)
        *first, last = [one.payload["data"]["id"] for one in receiver.received]
        assert (set(first), last) == ({own, others}, late)
        assert {one.payload["data"]["id"] for one in hanging.received} == set(held)


@on_one_database
def test_a_name_that_is_not_resolved_delays_no_other(
    api_server: ApiServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    resolve = socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **options: Any) -> Any:
        if str(host).endswith("hangs.test"):
            released.wait(60)
            raise socket.gaierror
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    for number in range(40):
        cancel_one(api_server, f"http://{number}.hangs.test/")
    with api_server.db.write() as session:
        session.execute(text("UPDATE experiment SET owner = 'ada'"))
    cancel_one(api_server, receiver.url)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send_due_deliveries, api_server.db, api_server.settings)
        receiver.wait_for(1)
        released.set()
        sending.result(timeout=60)


def test_a_claim_reads_past_an_owner_whose_share_is_taken(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "CANDIDATES", 3)
    for number in range(12):
        cancel_one(api_server, f"http://{number % 2}.example/")
    with api_server.db.write() as session:
        session.execute(text("UPDATE experiment SET owner = 'ada'"))
    last = cancel_one(api_server, "http://0.example/")
    claimed = webhooks.claim_deliveries(api_server.db, limit=32, lease_seconds=60)
    assert [one.owner for one in claimed[:-1]] == ["ada"] * webhooks.MAX_OF_OWNER
    assert claimed[-1].experiment_id == last
    more = webhooks.claim_deliveries(api_server.db, limit=32, lease_seconds=60, in_flight=claimed)
    assert more == []
    more = webhooks.claim_deliveries(
        api_server.db, limit=32, lease_seconds=60, in_flight=claimed[2:]
    )
    assert len(more) == 2


def test_the_oldest_deliveries_of_an_owner_with_too_many_are_given_up(
    api_server: ApiServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_PENDING_OF_OWNER", 3)
    with serve_receiver() as dead:
        dead.responses = [500] * 100
        mine = [cancel_one(api_server, dead.url) for _ in range(5)]
        with api_server.db.write() as session:
            session.execute(text("UPDATE experiment SET owner = 'ada'"))
        other = cancel_one(api_server, receiver.url)
        send_due_deliveries(api_server.db, api_server.settings)
        attempted = {one.payload["data"]["id"] for one in dead.received}
    assert attempted == set(mine[2:])
    dropped = [("webhook.failed", "more than 3 deliveries of yours were pending; this was older")]
    found = [webhook_events(api_server, one) for one in mine]
    assert found == [dropped] * 2 + [[("webhook.failed", "returned 500")]] * 3
    assert webhook_events(api_server, other) == [("webhook.delivered", None)]


@on_one_database
def test_a_slow_response_times_out(api_server: ApiServer, receiver: Receiver) -> None:
    def drip(handler: Any) -> None:
        with suppress(ConnectionError):
            for byte in b"HTTP/1.1 204 No Content\r\nX-Long: " + b"x" * 10_000:
                handler.wfile.write(bytes([byte]))
                time.sleep(0.02)

    receiver.responses = [drip]
    experiment_id = cancel_one(api_server, receiver.url)
    send_due_deliveries(api_server.db, with_settings(api_server, webhook_timeout_seconds=0.5))
    assert webhook_events(api_server, experiment_id) == [
        ("webhook.failed", "no response within 0.5 s")
    ]


@on_one_database
@pytest.mark.parametrize("allowed", [False, True])
def test_a_name_of_a_private_address_is_sent_to_only_if_allowed(
    api_server: ApiServer, receiver: Receiver, allowed: bool
) -> None:
    experiment_id = cancel_one(api_server, f"http://localhost:{receiver.port}/")
    send_due_deliveries(api_server.db, with_settings(api_server, webhook_allow_private=allowed))
    ((name, detail),) = webhook_events(api_server, experiment_id)
    assert (name, len(receiver.received)) == (
        ("webhook.delivered", 1) if allowed else ("webhook.failed", 0)
    )
    assert allowed or "localhost is not a public address" in detail
    assert delivery_states(api_server) == [("delivered" if allowed else "failed", 1)], (
        "given up at once"
    )


class NameServer:
    """Resolves `rebinds.test` to another list of addresses at each call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.num_calls = 0
        resolve = socket.getaddrinfo

        def response(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
            if host != "rebinds.test":
                return resolve(host, port, *arguments, **options)
            self.num_calls += 1
            addresses = answers[min(self.num_calls, len(answers)) - 1]
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                for address in addresses
            ]

        monkeypatch.setattr(socket, "getaddrinfo", response)


@on_one_database
def test_the_checked_address_is_the_one_connected_to(
    api_server: ApiServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = NameServer(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    monkeypatch.setattr(check_webhook, "is_public", lambda address: address == "127.0.0.1")
    experiment_id = cancel_one(api_server, f"http://rebinds.test:{receiver.port}/x")
    send_due_deliveries(api_server.db, with_settings(api_server, webhook_allow_private=False))
    assert webhook_events(api_server, experiment_id) == [("webhook.delivered", None)]
    assert receiver.received[0].headers["host"] == f"rebinds.test:{receiver.port}"
    assert names.num_calls == 1, (
        "a second lookup could have returned the address of another machine"
    )


@on_one_database
def test_a_name_with_any_private_address_is_refused(
    api_server: ApiServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    NameServer(monkeypatch, ["1.1.1.1", "127.0.0.1"])
    experiment_id = cancel_one(api_server, f"http://rebinds.test:{receiver.port}/x")
    send_due_deliveries(api_server.db, with_settings(api_server, webhook_allow_private=False))
    assert [name for name, _ in webhook_events(api_server, experiment_id)] == ["webhook.failed"]
    assert receiver.received == []


@on_one_database
@pytest.mark.parametrize("metadata", ["169.254.169.254", "168.63.129.16", "100.100.100.200"])
def test_a_name_of_a_metadata_service_is_refused_whatever_is_allowed(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch, metadata: str
) -> None:
    NameServer(monkeypatch, ["127.0.0.1", metadata])
    experiment_id = cancel_one(api_server, "http://rebinds.test:9/x")
    send_due_deliveries(api_server.db, with_settings(api_server, webhook_allow_private=True))
    ((name, detail),) = webhook_events(api_server, experiment_id)
    assert name == "webhook.failed"
    assert "no setting allows it" in detail
    assert delivery_states(api_server) == [("failed", 1)]


@on_one_database
def test_a_redirect_is_not_followed(api_server: ApiServer, receiver: Receiver) -> None:
    with serve_receiver() as inner:

        def redirect(handler: Any) -> None:
            handler.send_response(307)
            handler.send_header("Location", inner.url)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        receiver.responses = [redirect]
        experiment_id = cancel_one(api_server, receiver.url)
        send_due_deliveries(api_server.db, api_server.settings)
        assert webhook_events(api_server, experiment_id) == [("webhook.failed", "returned 307")]
        assert inner.received == []


@on_one_database
def test_the_next_address_is_tried_when_the_first_refuses(
    api_server: ApiServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    NameServer(monkeypatch, ["127.0.0.3", "127.0.0.1"])
    experiment_id = cancel_one(api_server, f"http://rebinds.test:{receiver.port}/x")
    send_due_deliveries(api_server.db, api_server.settings)
    assert webhook_events(api_server, experiment_id) == [("webhook.delivered", None)]


@on_one_database
def test_a_missing_service_secret_is_reported_and_retried(
    api_server: ApiServer, receiver: Receiver
) -> None:
    experiment_id = cancel_one(api_server, receiver.url)
    with api_server.db.write() as session:
        session.execute(text("UPDATE webhook SET secret = NULL"))
    send_due_deliveries(api_server.db, api_server.settings)
    ((name, detail),) = webhook_events(api_server, experiment_id)
    assert (name, delivery_states(api_server)) == ("webhook.failed", [("pending", 1)])
    assert "RICHREGIME_WEBHOOK_SECRET" in detail


def test_the_signature_equals_the_standard_s_example() -> None:
    key = read_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_processes_of_a_service_get_its_secret(tmp_path: Path) -> None:
    stack = Stack(tmp_path, 8000, settings=Settings(webhook_secret=SECRET))
    assert stack._environment()["RICHREGIME_WEBHOOK_SECRET"] == SECRET


@on_one_database
def test_the_guide_s_receiver_accepts_only_valid_signatures(
    api_server: ApiServer, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "how-to" / "webhooks.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    out = tmp_path / "out"
    with out.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            env={"WEBHOOK_SECRET": SECRET, "PORT": str(port)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        genuine = cancel_one(api_server, f"http://127.0.0.1:{port}/")
        forged = cancel_one(api_server, f"http://127.0.0.1:{port}/")
        with api_server.db.write() as session:
            session.execute(
                text("UPDATE webhook SET secret = :other WHERE experiment_id = :id"),
                {"other": "whsec_" + "b3RoZXIg" * 5, "id": forged},
            )
        send_due_deliveries(api_server.db, api_server.settings)
        assert webhook_events(api_server, genuine) == [("webhook.delivered", None)]
        assert webhook_events(api_server, forged) == [("webhook.failed", "returned 401")]
    finally:
        process.kill()
        process.wait()
    assert out.read_text() == f"experiment.cancelled {genuine}\n"
