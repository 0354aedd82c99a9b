"""The client against a live API: submitting, listing, errors, lost answers, broken streams."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any

import httpx
import pytest

import richregime
from api.experiments import event_stream
from richregime import (
    AsyncClient,
    Client,
    ClientError,
    ProblemError,
    ServiceUnreachable,
    UnexpectedAnswer,
    WaitTimeout,
)
from schemas.problems import ProblemCode
from schemas.status import ExperimentStatus
from tests.client.cutting_proxy import cutting

pytestmark = pytest.mark.xdist_group("client")

SPEC: dict[str, Any] = {"kind": "train", "epochs": 1}


def submit_queued(client: Client, **options: Any) -> str:
    return client.submit(SPEC, reuse=False, **options).id


def test_the_public_names_are_these() -> None:
    assert {"AsyncClient", "Client", "ClientError", "ProblemError"} < set(richregime.__all__)


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    def surface(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("__")
        }

    assert surface(Client) == surface(AsyncClient)


def test_what_is_submitted_comes_back(client: Client) -> None:
    experiment = client.submit(
        SPEC,
        sweep={"model.width": [10, 20]},
        seeds=range(3),
        name="a name",
        labels={"a": "b"},
        reuse=False,
    )
    found = client.get(experiment.id)
    assert (found.name, found.labels, found.seeds, found.num_points) == (
        "a name",
        {"a": "b"},
        [0, 1, 2],
        2,
    )
    assert found.status == ExperimentStatus.QUEUED
    assert sum(found.counts.values()) == len(list(client.runs(experiment.id)))


def test_a_whole_body_is_taken_as_it_is_and_options_override_it(client: Client) -> None:
    body = {"spec": SPEC, "seeds": [7], "name": "before", "reuse": False}
    experiment = client.submit(body, name="after")
    assert (experiment.seeds, experiment.name) == ([7], "after")


def test_a_preview_starts_nothing(client: Client) -> None:
    before = [one.id for one in client.iterate()]
    preview = client.preview(SPEC, sweep={"model.width": [10, 20]}, seeds=[0, 1])
    assert len(preview.points) == 2
    assert [one.id for one in client.iterate()] == before


def test_the_same_key_twice_is_one_experiment(client: Client) -> None:
    first = client.submit(SPEC, reuse=False, idempotency_key="the-same-key")
    assert client.submit(SPEC, reuse=False, idempotency_key="the-same-key").id == first.id


def test_every_wrong_field_is_in_the_error(client: Client) -> None:
    with pytest.raises(ProblemError) as caught:
        client.submit({"kind": "train", "epochs": 0, "optimizer": {"name": "adam", "lr": -1.0}})
    assert caught.value.problem.code == ProblemCode.INVALID_SPEC
    pointers = {error.pointer for error in caught.value.problem.errors or []}
    assert pointers == {"#/spec/epochs", "#/spec/optimizer/lr"}
    assert all(pointer in str(caught.value) for pointer in pointers)


def test_an_id_that_is_no_path_segment_is_not_found(client: Client) -> None:
    for strange in ("exp_none", "../workers", "a b?c#d"):
        with pytest.raises(ProblemError) as caught:
            client.get(strange)
        assert caught.value.problem.status == 404


def test_iterating_crosses_pages(client: Client) -> None:
    submitted = [submit_queued(client, labels={"for": "pages"}) for _ in range(3)]
    page = client.list(limit=2)
    assert len(page.items) == 2
    assert page.next_cursor is not None
    listed = [one.id for one in client.iterate(label="for:pages")] or [
        one.id for one in client.iterate()
    ]
    assert [one for one in listed if one in submitted] == submitted[::-1]


def test_cancelling_ends_the_wait(client: Client) -> None:
    experiment_id = submit_queued(client)
    names: list[str] = []
    client.cancel(experiment_id)
    ended = client.wait(experiment_id, timeout=20, on_event=lambda event: names.append(event.name))
    assert ended.status == ExperimentStatus.CANCELLED
    assert names[0] == "experiment.submitted"
    assert names[-1] == "experiment.finished"


def test_waiting_gives_up_in_time_and_the_experiment_goes_on(client: Client) -> None:
    experiment_id = submit_queued(client)
    started = time.monotonic()
    with pytest.raises(WaitTimeout):
        client.wait(experiment_id, timeout=0.5)
    assert time.monotonic() - started < 5
    assert not client.get(experiment_id).terminal


def test_an_ended_experiment_can_be_deleted(client: Client) -> None:
    experiment_id = submit_queued(client)
    client.cancel(experiment_id)
    assert not client.delete(experiment_id, dry_run=True).deleted
    assert client.delete(experiment_id).deleted
    with pytest.raises(ProblemError):
        client.get(experiment_id)


def test_a_result_that_is_not_there_yet_says_so(client: Client) -> None:
    with pytest.raises(ProblemError) as caught:
        client.result(submit_queued(client))
    assert caught.value.problem.code == ProblemCode.NOT_READY


def test_what_can_be_asked_is_described(client: Client) -> None:
    assert "train" in {kind["name"] for kind in client.kinds()}
    assert "spec" in str(client.kind("train"))
    assert "demo" in {preset["name"] for preset in client.presets()}
    assert client.submit(client.preset("demo")["body"], reuse=False).num_points == 3
    assert list(client.models())
    assert "digits" in {dataset.name for dataset in client.datasets()}
    assert list(client.workers()) == []
    assert client.queue().queued > 0


def test_an_answer_that_is_lost_is_asked_for_again(live_url: str, client: Client) -> None:
    experiment_id = submit_queued(client)
    with cutting(live_url, 0, 0) as proxy, Client(proxy.url) as far:
        assert far.get(experiment_id).id == experiment_id
        assert proxy.num_connections == 3


def test_a_submission_whose_answer_is_lost_is_made_once(live_url: str, client: Client) -> None:
    before = {one.id for one in client.iterate()}
    with cutting(live_url, 0) as proxy, Client(proxy.url) as far:
        submitted = far.submit(SPEC, reuse=False, name="sent twice")
        assert proxy.num_connections == 2
    assert {one.id for one in client.iterate()} - before == {submitted.id}


def test_a_call_that_is_not_safe_to_repeat_is_sent_once(live_url: str, client: Client) -> None:
    experiment_id = submit_queued(client)
    with cutting(live_url, 0) as proxy, Client(proxy.url) as far:
        with pytest.raises(ServiceUnreachable):
            far.cancel(experiment_id)
        assert proxy.num_connections == 1


def test_an_event_stream_goes_on_where_it_broke(live_url: str, client: Client) -> None:
    experiment_id = client.submit(
        SPEC, seeds=range(20), reuse=False, execution={"seeds_per_run": 1}
    ).id
    client.cancel(experiment_id)
    whole = list(client.events(experiment_id))
    assert len(whole) > 6
    with cutting(live_url, 900, 1500) as proxy, Client(proxy.url) as far:
        broken = list(far.events(experiment_id, timeout=30))
        assert proxy.num_connections >= 3
    assert broken == whole
    assert [event.sequence for event in broken] == list(range(1, len(whole) + 1))


def test_comments_between_events_are_no_events(
    live_url: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps a silent stream open comes after an event with an id, and while nothing happens."""
    monkeypatch.setattr(event_stream, "COMMENT_SECONDS", event_stream.POLL_SECONDS)
    experiment_id = submit_queued(client)

    async def names_until_cancelled() -> list[str]:
        names = []
        async with AsyncClient(live_url) as far:
            async for event in far.events(experiment_id, timeout=30):
                names.append(event.name)
                if len(names) == 1:
                    await asyncio.sleep(4 * event_stream.POLL_SECONDS)
                    await far.cancel(experiment_id)
        return names

    names = asyncio.run(names_until_cancelled())
    assert names[0] == "experiment.submitted"
    assert names[-1] == "experiment.finished"
    waiting = submit_queued(client)
    with pytest.raises(WaitTimeout):
        list(client.events(waiting, timeout=6 * event_stream.POLL_SECONDS))


def test_no_service_is_said_readably() -> None:
    with (
        Client("http://127.0.0.1:9", max_retries=0) as nobody,
        pytest.raises(ServiceUnreachable, match=r"\./run"),
    ):
        nobody.queue()


def test_another_service_is_recognised(live_url: str) -> None:
    with (
        Client(f"{live_url}/no/such/place") as lost,
        pytest.raises((UnexpectedAnswer, ProblemError)),
    ):
        lost.queue()


def test_the_async_client_does_the_same(live_url: str) -> None:
    async def scenario() -> tuple[ExperimentStatus, list[str]]:
        names: list[str] = []
        async with AsyncClient(live_url) as far:
            experiment = await far.submit(SPEC, reuse=False)
            assert experiment.id in [one.id async for one in far.iterate()]
            await far.cancel(experiment.id)
            ended = await far.wait(experiment.id, on_event=lambda event: names.append(event.name))
            with pytest.raises(ClientError):
                await far.get("exp_none")
        return ended.status, names

    status, names = asyncio.run(scenario())
    assert status == ExperimentStatus.CANCELLED
    assert names[-1] == "experiment.finished"


@pytest.mark.parametrize(("status", "num_sent"), [(429, 2), (503, 1)])
def test_a_call_that_was_refused_for_its_rate_is_sent_again_when_told(
    status: int, num_sent: int
) -> None:
    sent: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(time.monotonic())
        problem = {
            "type": "t",
            "title": "t",
            "status": status,
            "code": "rate-limited",
            "detail": "wait",
        }
        if len(sent) < 2 or status == 503:
            media = {"Retry-After": "1", "content-type": "application/problem+json"}
            return httpx.Response(status, json=problem, headers=media)
        return httpx.Response(
            200,
            json={
                "id": "exp_1",
                "deleted": True,
                "dry_run": False,
                "bytes": 0,
                "runs": 0,
                "artifacts": 0,
            },
        )

    with Client("http://service", transport=httpx.MockTransport(answer)) as client:
        if status == 429:
            client.delete("exp_1")
            assert sent[1] - sent[0] >= 1
        else:
            with pytest.raises(ProblemError):
                client.delete("exp_1")  # it may have been done: only a refusal for the rate is sure
    assert len(sent) == num_sent
