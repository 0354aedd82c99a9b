"""The first response to an idempotency key is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.errors import KeyTaken
from storage.experiments.idempotency import find_response, store_response
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")


def test_a_key_keeps_its_first_response(store: Store) -> None:
    with store.db.write() as session:
        assert find_response(session, "key", "a" * 64) is None
        store_response(session, "key", "a" * 64, "exp_1", 201)
    with store.db.read() as session:
        same, other = (find_response(session, "key", digest * 64) for digest in "ab")
    assert same is not None
    assert other is not None
    assert (same.experiment_id, same.status_code, same.same_body) == ("exp_1", 201, True)
    assert other.same_body is False


def test_concurrent_responses_to_one_key_store_one(store: Store) -> None:
    def try_store(number: int) -> bool:
        try:
            with store.db.write() as session:
                store_response(session, "key", "a" * 64, f"exp_{number}", 201)
        except KeyTaken:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(try_store, range(6))) == 1
