"""Nets that wait for a worker: asked for once, claimed once, retried, bounded, forgotten."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import text, update

from engine.data.spec import BUILTIN_DATASETS
from engine.models.layout import layout
from engine.models.plugin_models import PluginArgument, PluginModel, PluginModels, PluginProblem
from engine.models.spec import DescribedSpec, MlpSpec, PluginSpec, TorchvisionSpec
from storage.database.engine import Database, database_now
from storage.database.tables import DescribedNetRow, PluginListingRow
from storage.nets import described
from storage.nets.described import (
    CLAIM_SECONDS,
    FORGET_DAYS,
    RETRY_SECONDS,
    FoundNet,
    WantedNet,
    ask_for_nets,
    claim_net,
    count_waiting_nets,
    find_net,
    has_wanted_nets,
    key_of,
    store_net,
)
from storage.nets.plugins import read_listings, store_listing

DIGITS = BUILTIN_DATASETS["digits"]
LAYERS = layout(MlpSpec(), DIGITS)
SOURCE = f"sha256:{'0' * 64}"


def net(width: int = 3, source: str = SOURCE) -> PluginSpec:
    return PluginSpec(name="net", source=source, width=width)


@pytest.fixture
def nets(db: Database) -> Database:
    with db.write() as session:
        session.execute(text("DELETE FROM described_net"))
        session.execute(text("DELETE FROM plugin_listing"))
    return db


def ask(db: Database, *models: DescribedSpec) -> None:
    with db.write() as session:
        ask_for_nets(session, [(model, DIGITS) for model in models])


def claim(db: Database, sources: Sequence[str] = (SOURCE,)) -> WantedNet | None:
    with db.write() as session:
        return claim_net(session, sources)


def waiting(db: Database) -> int:
    with db.read() as session:
        return count_waiting_nets(session)


def find(db: Database, model: DescribedSpec) -> FoundNet | None:
    with db.read() as session:
        return find_net(session, key_of(model, DIGITS))


def shift(db: Database, column: str, seconds: float) -> None:
    """Let that much time pass since the time in the column."""
    with db.write() as session:
        then = database_now(session) - timedelta(seconds=seconds)
        session.execute(update(DescribedNetRow).values({column: then}))


def test_a_net_is_asked_for_once_and_described_once(nets: Database) -> None:
    model = net()
    assert find(nets, model) is None
    ask(nets, model)
    ask(nets, model)
    assert waiting(nets) == 1
    assert find(nets, model) == FoundNet(None, None)
    wanted = claim(nets)
    assert wanted is not None
    assert (wanted.model, wanted.shape) == (model.model_dump(mode="json"), DIGITS.shape)
    assert claim(nets) is None
    with nets.write() as session:
        store_net(session, wanted.key, LAYERS)
    ask(nets, model)
    assert (claim(nets), waiting(nets)) == (None, 0)
    assert find(nets, model) == FoundNet(LAYERS, None)


def test_of_two_claimers_at_once_one_gets_each_net(nets: Database) -> None:
    ask(nets, *(net(width) for width in range(20)))
    claimed: list[WantedNet] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        while (one := claim(nets)) is not None:
            claimed.append(one)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len({one.key for one in claimed}) == 20


def test_a_claim_without_an_answer_expires(nets: Database) -> None:
    ask(nets, net())
    first = claim(nets)
    shift(nets, "claimed_at", CLAIM_SECONDS - 5)
    assert claim(nets) is None
    shift(nets, "claimed_at", CLAIM_SECONDS + 1)
    assert claim(nets) == first


def test_a_failed_net_can_be_asked_for_again_when_its_failure_is_not_recent(
    nets: Database,
) -> None:
    model = net()
    ask(nets, model)
    wanted = claim(nets)
    assert wanted is not None
    with nets.write() as session:
        store_net(session, wanted.key, error="no")
    ask(nets, model)
    assert (find(nets, model), claim(nets)) == (FoundNet(None, "no"), None)
    shift(nets, "described_at", RETRY_SECONDS + 1)
    assert find(nets, model) == FoundNet(None, None)
    ask(nets, model)
    assert claim(nets) == wanted


def test_a_worker_takes_nets_of_its_own_code_and_of_torchvision(nets: Database) -> None:
    other = TorchvisionSpec(architecture="resnet18")
    ask(nets, net())
    with nets.read() as session:
        assert not has_wanted_nets(session, ())
        assert not has_wanted_nets(session, ("sha256:1",))
        assert has_wanted_nets(session, ("sha256:1", SOURCE))
    assert claim(nets, ("sha256:1",)) is None
    ask(nets, other)
    found = claim(nets, ())
    assert found is not None
    assert found.key == key_of(other, DIGITS)


def test_so_many_nets_wait_and_others_are_stored_when_some_are_described(
    nets: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(described, "MAX_WAITING", 5)
    models = [net(width) for width in range(8)]
    ask(nets, *models)
    ask(nets, *models)
    assert waiting(nets) == 5
    wanted = claim(nets)
    assert wanted is not None
    with nets.write() as session:
        store_net(session, wanted.key, LAYERS)
    ask(nets, *models)
    assert waiting(nets) == 5
    assert [find(nets, model) is None for model in models].count(True) == 2


def test_nets_without_layers_are_forgotten(nets: Database) -> None:
    failed, known, unanswered = net(1), net(2), net(3)
    ask(nets, failed, known, unanswered)
    with nets.write() as session:
        store_net(session, key_of(failed, DIGITS), error="no")
        store_net(session, key_of(known, DIGITS), LAYERS)
    shift(nets, "asked_at", (FORGET_DAYS - 1) * 86_400)
    ask(nets)
    assert None not in [find(nets, model) for model in (failed, known, unanswered)]
    shift(nets, "asked_at", (FORGET_DAYS + 1) * 86_400)
    ask(nets)
    assert [find(nets, model) is None for model in (failed, known, unanswered)] == [
        True,
        False,
        True,
    ]


def listing(name: str, source: str = SOURCE) -> PluginModels:
    arguments = (PluginArgument("widths", "integer", (1, 2), is_list=True, above=0),)
    return PluginModels(
        {name: PluginModel(name, source, f"/{name}.py", "Größe", arguments)},
        (PluginProblem("/bad.py", "line 1: no"),),
    )


def test_the_listing_of_a_host_is_replaced_and_the_last_host_decides(nets: Database) -> None:
    with nets.write() as session:
        store_listing(session, "one", listing("net"))
    with nets.read() as session:
        assert read_listings(session) == listing("net")
    with nets.write() as session:
        store_listing(session, "two", listing("net", "sha256:2"))
        store_listing(session, "three", listing("other"))
    with nets.read() as session:
        found = read_listings(session)
    assert {name: one.source for name, one in found.models.items()} == {
        "net": "sha256:2",
        "other": SOURCE,
    }
    assert len(found.problems) == 1
    with nets.write() as session:
        store_listing(session, "two", PluginModels())
    with nets.read() as session:
        assert read_listings(session).models["net"].source == SOURCE


def test_the_listing_of_a_host_that_is_gone_is_forgotten(nets: Database) -> None:
    with nets.write() as session:
        store_listing(session, "one", listing("net"))
        long_ago = database_now(session) - timedelta(days=31)
        session.execute(update(PluginListingRow).values(read_at=long_ago))
        store_listing(session, "two", listing("other"))
    with nets.read() as session:
        assert list(read_listings(session).models) == ["other"]
