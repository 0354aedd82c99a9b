"""Both clients against a live API: submission, lists, errors, lost responses, broken streams."""

from __future__ import annotations

import asyncio
import inspect
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.experiments import event_stream
from engine.experiments.train.spec import TrainSpec
from richregime import (
    AsyncClient,
    Client,
    ClientError,
    Execution,
    ProblemError,
    ServiceUnreachable,
    UnexpectedResponse,
    WaitTimeout,
)
from schemas.problems import ProblemCode
from schemas.status import ExperimentStatus
from tests.api.sample_files import CHECKPOINT_SHAPES, make_checkpoint, make_npz
from tests.client.cutting_proxy import cut_connections

pytestmark = pytest.mark.xdist_group("client")

SPEC: dict[str, Any] = {"kind": "train", "epochs": 1}


def submit_queued(client: Client, **options: Any) -> str:
    return client.submit(SPEC, reuse=False, **options).id


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    def surface(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("__")
        }

    assert surface(Client) == surface(AsyncClient)


def test_a_submission_is_stored(client: Client) -> None:
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


def test_options_override_the_fields_of_a_whole_body(client: Client) -> None:
    body = {"spec": SPEC, "seeds": [7], "name": "before", "reuse": False}
    experiment = client.submit(body, name="after")
    assert (experiment.seeds, experiment.name) == ([7], "after")


def test_a_preview_starts_nothing(client: Client) -> None:
    before = [one.id for one in client.iterate()]
    preview = client.preview(SPEC, sweep={"model.width": [10, 20]}, seeds=[0, 1])
    assert len(preview.points) == 2
    assert [one.id for one in client.iterate()] == before


def test_one_idempotency_key_makes_one_experiment(client: Client) -> None:
    first = client.submit(SPEC, reuse=False, idempotency_key="the-same-key")
    assert client.submit(SPEC, reuse=False, idempotency_key="the-same-key").id == first.id


def test_an_error_lists_every_invalid_field(client: Client) -> None:
    with pytest.raises(ProblemError) as caught:
        client.submit({"kind": "train", "epochs": -1, "optimizer": {"name": "adam", "lr": -1.0}})
    assert caught.value.problem.code == ProblemCode.INVALID_SPEC
    pointers = {error.pointer for error in caught.value.problem.errors or []}
    assert pointers == {"#/spec/epochs", "#/spec/optimizer/lr"}
    assert all(pointer in str(caught.value) for pointer in pointers)


def test_an_invalid_id_is_not_found(client: Client) -> None:
    for invalid in ("exp_none", "../workers", "a b?c#d"):
        with pytest.raises(ProblemError) as caught:
            client.get(invalid)
        assert caught.value.problem.status == 404


def test_iteration_fetches_all_pages(client: Client) -> None:
    submitted = [submit_queued(client, labels={"for": "pages"}) for _ in range(3)]
    page = client.list(limit=2)
    assert len(page.items) == 2
    assert page.next_cursor is not None
    listed = [one.id for one in client.iterate(label="for:pages")] or [
        one.id for one in client.iterate()
    ]
    assert [one for one in listed if one in submitted] == submitted[::-1]


def test_a_cancelled_experiment_ends_the_wait(client: Client) -> None:
    experiment_id = submit_queued(client)
    names: list[str] = []
    client.cancel(experiment_id)
    ended = client.wait(experiment_id, timeout=20, on_event=lambda event: names.append(event.name))
    assert ended.status == ExperimentStatus.CANCELLED
    assert names[0] == "experiment.submitted"
    assert names[-1] == "experiment.finished"


def test_a_wait_times_out_and_the_experiment_continues(client: Client) -> None:
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


def test_uploads_are_deleted(client: Client, live_url: str, tmp_path: Path) -> None:
    for name, data in (
        ("mine.npz", make_npz(28)),
        ("theta.safetensors", make_checkpoint(CHECKPOINT_SHAPES, "BF16")),
    ):
        (tmp_path / name).write_bytes(data)
    client.register_dataset("by-client", tmp_path / "mine.npz")
    weights = client.upload_checkpoint(tmp_path / "theta.safetensors")
    assert weights in [*client.uploaded_checkpoints()]
    assert client.delete_dataset("by-client", dry_run=True).deleted is False
    assert client.delete_checkpoint(weights.id).bytes == weights.bytes

    async def scenario() -> bool:
        async with AsyncClient(live_url) as remote:
            deletion = await remote.delete_dataset("by-client")
            with pytest.raises(ProblemError):
                await remote.delete_checkpoint(weights.id)
            rest = [one.id async for one in remote.uploaded_checkpoints()]
            return deletion.deleted and weights.id not in rest

    assert asyncio.run(scenario())


def test_a_spec_may_be_a_pydantic_model(client: Client) -> None:
    execution = Execution(seeds_per_run=1)
    experiment = client.submit(TrainSpec(epochs=1), seeds=(0, 1), execution=execution, reuse=False)
    assert experiment.spec["epochs"] == 1
    assert experiment.execution == execution
    assert len(list(client.runs(experiment.id))) == 2


def test_experiments_are_compared(client: Client) -> None:
    ids = [client.submit(SPEC, name=name, reuse=False).id for name in ("a", "b")]
    changed = client.submit({**SPEC, "epochs": 2}, reuse=False).id
    found = client.compare([*ids, changed])
    assert [one.id for one in found.experiments] == [*ids, changed]
    assert [(one.path, one.values[changed]) for one in found.spec] == [("spec.epochs", 2)]
    assert found.results == []
    with pytest.raises(ProblemError):
        client.compare(ids, quantity="test_accuracy")


def test_the_limits_are_typed(client: Client) -> None:
    limits = client.limits()
    assert limits.max_points > 0
    assert limits.used.queued >= 0


def test_a_missing_result_is_not_ready(client: Client) -> None:
    with pytest.raises(ProblemError) as caught:
        client.result(submit_queued(client))
    assert caught.value.problem.code == ProblemCode.NOT_READY


def test_the_service_describes_itself(client: Client) -> None:
    assert "train" in {kind.name for kind in client.kinds()}
    assert "epochs" in client.kind("train").spec_schema["properties"]
    assert "demo" in {preset.name for preset in client.presets()}
    assert client.submit(client.preset("demo").body, reuse=False).num_points == 3
    models = list(client.models())
    assert {layer.name for model in models for layer in model.layers or ()} >= {"layers.0"}
    resnet = client.model("resnet18", "cifar10", width_multiplier=0.5)
    assert (resnet.dataset, len(resnet.layers or ())) == ("cifar10", 10)
    assert list(client.plugins()) == []
    assert "digits" in {dataset.name for dataset in client.datasets()}
    assert list(client.workers()) == []
    assert client.queue().queued > 0


def test_a_lost_response_is_requested_again(live_url: str, client: Client) -> None:
    experiment_id = submit_queued(client)
    with cut_connections(live_url, 0, 0) as proxy, Client(proxy.url) as remote:
        assert remote.get(experiment_id).id == experiment_id
        assert proxy.num_connections == 3


def test_a_submission_with_a_lost_response_is_stored_once(live_url: str, client: Client) -> None:
    before = {one.id for one in client.iterate()}
    with cut_connections(live_url, 0) as proxy, Client(proxy.url) as remote:
        submitted = remote.submit(SPEC, reuse=False, name="sent twice")
        assert proxy.num_connections == 2
    assert {one.id for one in client.iterate()} - before == {submitted.id}


def test_a_call_that_is_not_safe_to_repeat_is_sent_once(live_url: str, client: Client) -> None:
    experiment_id = submit_queued(client)
    with cut_connections(live_url, 0) as proxy, Client(proxy.url) as remote:
        with pytest.raises(ServiceUnreachable):
            remote.cancel(experiment_id)
        assert proxy.num_connections == 1


def test_a_broken_event_stream_resumes(live_url: str, client: Client) -> None:
    experiment_id = client.submit(
        SPEC, seeds=range(20), reuse=False, execution={"seeds_per_run": 1}
    ).id
    client.cancel(experiment_id)
    whole = list(client.events(experiment_id))
    assert len(whole) > 6
    with cut_connections(live_url, 900, 1500) as proxy, Client(proxy.url) as remote:
        broken = list(remote.events(experiment_id, timeout=30))
        assert proxy.num_connections >= 3
    assert broken == whole
    assert [event.sequence for event in broken] == list(range(1, len(whole) + 1))


def test_comments_are_not_events(
    live_url: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments keep a silent stream open: after an event with an id, and without any event."""
    monkeypatch.setattr(event_stream, "COMMENT_SECONDS", event_stream.POLL_SECONDS)
    experiment_id = submit_queued(client)

    async def names_until_cancelled() -> list[str]:
        names = []
        async with AsyncClient(live_url) as remote:
            async for event in remote.events(experiment_id, timeout=30):
                names.append(event.name)
                if len(names) == 1:
                    await asyncio.sleep(4 * event_stream.POLL_SECONDS)
                    await remote.cancel(experiment_id)
        return names

    names = asyncio.run(names_until_cancelled())
    assert names[0] == "experiment.submitted"
    assert names[-1] == "experiment.finished"
    waiting = submit_queued(client)
    with pytest.raises(WaitTimeout):
        list(client.events(waiting, timeout=6 * event_stream.POLL_SECONDS))


def test_a_missing_service_has_a_readable_error() -> None:
    with (
        Client("http://127.0.0.1:9", max_retries=0) as client,
        pytest.raises(ServiceUnreachable, match=r"\./run"),
    ):
        client.queue()


def test_another_service_is_detected(live_url: str) -> None:
    with (
        Client(f"{live_url}/no/such/place") as client,
        pytest.raises((UnexpectedResponse, ProblemError)),
    ):
        client.queue()


def test_the_async_client_has_the_same_results(live_url: str) -> None:
    async def scenario() -> tuple[str, list[str]]:
        names: list[str] = []
        async with AsyncClient(live_url) as remote:
            experiment = await remote.submit(SPEC, reuse=False)
            assert experiment.id in [one.id async for one in remote.iterate()]
            await remote.cancel(experiment.id)
            ended = await remote.wait(
                experiment.id, on_event=lambda event: names.append(event.name)
            )
            with pytest.raises(ClientError):
                await remote.get("exp_none")
        return ended.status, names

    status, names = asyncio.run(scenario())
    assert status == ExperimentStatus.CANCELLED
    assert names[-1] == "experiment.finished"


def test_a_preview_is_repeated_because_it_starts_nothing() -> None:
    sent: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        problem = {"type": "t", "title": "t", "status": 503, "code": "net-not-described"}
        media = {"Retry-After": "0", "content-type": "application/problem+json"}
        return httpx.Response(503, json={**problem, "detail": "wait"}, headers=media)

    transport = httpx.MockTransport(respond)
    with Client("http://service", transport=transport, max_retries=2) as client:
        with pytest.raises(ProblemError):
            client.preview(SPEC)
        assert len(sent) == 3
        with pytest.raises(ProblemError):
            client.retry("exp_1")  # it may have been executed
        assert len(sent) == 4


@pytest.mark.parametrize(("status", "num_sent"), [(429, 2), (503, 1)])
def test_a_rate_limited_call_is_retried_after_its_delay(status: int, num_sent: int) -> None:
    sent: list[float] = []

    def respond(request: httpx.Request) -> httpx.Response:
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

    with Client("http://service", transport=httpx.MockTransport(respond)) as client:
        if status == 429:
            client.delete("exp_1")
            assert sent[1] - sent[0] >= 1
        else:
            with pytest.raises(ProblemError):
                client.delete("exp_1")  # it may have been executed; only a rate limit is sure
    assert len(sent) == num_sent


def test_lists_are_sorted_with_columns_and_many_are_acted_on(client: Client) -> None:
    labels = {"set": "many"}
    ids = [
        submit_queued(client, name=f"many {width}", labels=labels, sweep={"model.width": [width]})
        for width in (30, 10, 20)
    ]
    page = client.list(label="set:many", sort="-model.width", fields=["model.width", "points"])
    assert [one.id for one in page.items] == [ids[0], ids[2], ids[1]]
    assert page.total == 3
    assert page.items[0].fields is not None
    assert page.items[0].fields["model.width"].swept == [30]
    assert page.items[0].fields["points"].value == 1
    assert [one.id for one in client.iterate(containing="many 1", sort="name")] == [ids[1]]
    planned = client.cancel_all(label="set:many", status="queued", dry_run=True)
    assert (planned.counts["done"], planned.dry_run) == (3, True)
    labelled = client.label_all({"set": None, "new": "x"}, ids[:2])
    assert {item.outcome for item in labelled.items} == {"done"}
    assert client.get(ids[0]).labels == {"new": "x"}
    assert client.cancel_all(ids).counts["done"] == 3
    assert client.delete_all(containing="many", kind="train").counts["done"] == 3
    with pytest.raises(ProblemError) as refused:
        client.cancel_all(ids, label="set")
    assert "either" in str(refused.value)
