"""Metrics are stored once for each run, seed, name and step."""

from __future__ import annotations

import pytest

from storage.results.metrics import read_metrics, write_metrics
from tests.storage.conftest import Store

pytestmark = pytest.mark.xdist_group("storage")


def test_a_metric_written_again_replaces_the_first(store: Store) -> None:
    experiment_id, run_id, fence = store.start_run()
    for values in (
        [
            (0, "train_loss", 1, 0.5),
            (0, "train_loss", 2, 0.4),
            (1, "train_loss", 1, 0.6),
            (0, "accuracy", 1, None),
        ],
        [(0, "train_loss", 2, 9.0), (0, "train_loss", 2, 0.3)],
    ):
        with store.db.write() as session:
            assert write_metrics(session, run_id, fence, values)
    with store.db.read() as session:
        found = read_metrics(session, experiment_id=experiment_id)
        named = read_metrics(session, run_id=run_id, names=["accuracy"])
    assert [(row.seed, row.name, row.step, row.value) for row in found] == [
        (0, "accuracy", 1, None),
        (0, "train_loss", 1, 0.5),
        (0, "train_loss", 2, 0.3),
        (1, "train_loss", 1, 0.6),
    ]
    assert named == [found[0]]
