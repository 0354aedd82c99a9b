"""A sweep over what is reset to, on a whole service with several workers."""

from __future__ import annotations

from typing import Any

import pytest

from richregime import Client

pytestmark = pytest.mark.xdist_group("whole_service")

RESETS = [{"name": "init"}, {"name": "step", "step": 3}, {"name": "epoch", "epoch": 1}]
SPEC: dict[str, Any] = {
    "kind": "reinit_sweep",
    "data": {"name": "digits", "train_size": 300, "test_size": 100},
    "epochs": 3,
    "fractions_percent": [0, 1, 100],
    "batch_size": 33,
}


@pytest.mark.parametrize(
    ("model", "seeds"),
    [({"name": "relu_net", "width": 30}, [0, 1]), ({"name": "conv_net", "width": 2}, [0, 1, 2])],
)
def test_each_seed_is_trained_once(
    service_url: str, model: dict[str, Any], seeds: list[int]
) -> None:
    body = {
        "spec": {**SPEC, "model": model},
        "sweep": {"reset_to": RESETS},
        "seeds": seeds,
    }
    with Client(service_url) as client:
        assert [point.trained_by for point in client.preview(body).points] == [None, 0, 0]
        ended = client.wait(client.submit(body).id, timeout=120)
        assert ended.status == "succeeded", ended.detail
        result = client.result(ended.id)
        trained = set()
        for run in client.runs(ended.id):
            names = {event.name for event in client.events(ended.id) if event.run_id == run.id}
            if "training.reused" not in names:
                trained.add(run.point.index)
        again = client.preview({**body, "reuse": False})
        other = client.preview(
            {**body, "spec": {**SPEC, "model": model, "fractions_percent": [0, 50]}}
        )
    assert len(result.reused) == 2 * len(seeds)
    assert len({(one.point, one.seed) for one in result.reused}) == 2 * len(seeds)
    assert len(trained) <= len(seeds), "a run of each seed at most has trained"
    assert [point.trained_by for point in again.points] == [None, None, None]
    assert [point.trained_by for point in other.points] == [None, None, None]
    assert [point.reused_seeds for point in other.points] == [seeds, seeds, seeds]
