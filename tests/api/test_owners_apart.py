"""What one owner is told does not depend on the rows of another, except for what is listed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from schemas.access import Scope
from tests.api.api_server import ApiServer
from tests.api.keys import make_key, request_with_key
from tests.api.sample_files import CHECKPOINT_SHAPES, make_checkpoint, make_npz

USUAL = (Scope.READ, Scope.SUBMIT, Scope.CANCEL)
BODY: dict[str, Any] = {
    "spec": {"kind": "train"},
    "sweep": {"model.width": [4, 5]},
    "seeds": [0, 1],
    "name": "the same",
    "labels": {"site": "here"},
}
OTHER_BODY: dict[str, Any] = {
    **BODY,
    "spec": {"kind": "lws"},
    "seeds": [0],
    "execution": {"device": "cuda"},
}
"""No worker of the test takes it."""
SHARED_TOTALS = {"queued", "running", "by_kind", "oldest_queued_seconds"}
"""Fields of `GET /queue` that count the runs of all owners"""
SHARED_TEXT = re.compile(
    r"\d+ running, \d+ waiting|<dt>(Waiting|Running|Longest wait)[^<]*</dt><dd>[^<]*</dd>"
)
"""The same numbers on pages"""


class Owner:
    """One owner's key, and what it has stored."""

    def __init__(self, server: ApiServer, name: str) -> None:
        self._server = server
        self.key = make_key(server.db, *USUAL, owner=name)

    def send(self, method: str, path: str, **more: Any) -> Any:
        response = request_with_key(self._server, self.key, method, path, **more)
        assert response.status_code < 300, response.text
        return response

    def store_everything(self) -> tuple[str, str, str, str]:
        """The ids of a finished and of a queued experiment, of a run, and of weights."""
        finished = self.submit(BODY, key="k1")
        self._server.http.headers["Authorization"] = f"Bearer {self.key}"
        run = self._server.finish_all_runs(finished)[0].run_id
        del self._server.http.headers["Authorization"]
        waiting = self.submit(OTHER_BODY, key="k2")
        self.send("POST", "/datasets", content=make_npz(), params={"name": "mine"})
        weights = self.send("POST", "/checkpoints", content=make_checkpoint(CHECKPOINT_SHAPES))
        return finished, waiting, run, weights.json()["id"]

    def submit(self, body: dict[str, Any], key: str) -> str:
        made = self.send("POST", "/experiments", json=body, headers={"Idempotency-Key": key})
        return str(made.json()["id"])

    def read_everything(self, ids: tuple[str, str, str, str]) -> dict[str, Any]:
        """Status, ETag and body of every route that tells the owner something, by path."""
        finished, waiting, run, weights = ids
        paths = [
            *("/experiments", "/experiments?q=same", "/experiments?label=site:here"),
            *("/datasets", "/datasets/mine", "/checkpoints", f"/checkpoints/{weights}"),
            *("/workers", "/queue", "/limits", "/", "/machines", "/submit"),
            *(f"/runs/{run}{part}" for part in ("", "/metrics", "/checkpoints", "/artifacts")),
            f"/experiments/compare?id={finished}&id={finished}",
        ]
        for one in (finished, waiting):
            paths += [f"/experiments/{one}", f"/experiments/{one}/runs", f"/view/{one}"]
            paths += [f"/experiments/{one}/{part}" for part in ("events", "metrics", "plots")]
        plots = [f"plots/learning_curve.{ending}" for ending in ("json", "png")]
        paths += [f"/experiments/{finished}/{part}" for part in ("result", "comparison", *plots)]
        found = {path: self._read("GET", path) for path in paths}
        for name, body in (("finished", BODY), ("waiting", OTHER_BODY)):
            for reuse in (True, False):
                found[f"preview {name} {reuse}"] = self._read(
                    "POST", "/experiments/preview", json={**body, "reuse": reuse}
                )
        larger = {**BODY, "seeds": [0, 1, 2], "sweep": {"model.width": [4, 5, 6]}}
        found["preview larger"] = self._read("POST", "/experiments/preview", json=larger)
        dry_run = {"params": {"dry_run": "true"}}
        found["delete"] = self._read("DELETE", f"/experiments/{finished}", **dry_run)
        again = {"content": make_npz(), "params": {"name": "mine"}}
        found["upload again"] = self._read("POST", "/datasets", **again)
        return found

    def _read(self, method: str, path: str, **more: Any) -> Any:
        response = request_with_key(self._server, self.key, method, path, **more)
        told = (response.status_code, response.headers.get("ETag"))
        if "json" not in response.headers["content-type"]:
            return *told, re.sub(r"\n\s*\n", "\n", SHARED_TEXT.sub("", response.text))
        return *told, without_shared(path, response.json())


def without_shared(path: str, value: Any) -> Any:
    """The body without its request id and the numbers that count the runs of all owners."""
    if path == "/queue":
        assert set(value) >= SHARED_TOTALS
        return {name: one for name, one in value.items() if name not in SHARED_TOTALS}
    if isinstance(value, dict):
        kept = value.keys() - {"runs_ahead", "request_id"}
        return {name: without_shared("", one) for name, one in value.items() if name in kept}
    if isinstance(value, list):
        return [without_shared("", one) for one in value]
    return value


def test_an_owner_is_told_the_same_with_and_without_another_s_rows(
    api_on_both_databases: ApiServer,
) -> None:
    server = api_on_both_databases
    ada, ben = Owner(server, "ada"), Owner(server, "ben")
    ids = ada.store_everything()
    alone = ada.read_everything(ids)
    ben.store_everything()
    beside = ada.read_everything(ids)
    assert alone.keys() == beside.keys()
    differing = [path for path in alone if alone[path] != beside[path]]
    assert {path: (alone[path], beside[path]) for path in differing} == {}


def test_the_second_owner_who_stores_the_same_is_told_what_the_first_was(
    api_on_both_databases: ApiServer,
) -> None:
    told = []
    for name in ("ada", "ben"):
        owner = Owner(api_on_both_databases, name)
        found = owner.read_everything(owner.store_everything())
        statuses = [status for status, *_ in found.values()]
        used = owner.send("GET", "/limits").json()["used"]
        body = {**BODY, "reuse": False}
        preview = owner.send("POST", "/experiments/preview", json=body).json()
        reused = [point["reused_seeds"] for point in preview["points"]]
        told.append((statuses, used, preview["basis"], reused, preview["warnings"]))
    assert told[0] == told[1]


@pytest.mark.parametrize("scope", [Scope.READ, Scope.ADMIN])
def test_only_an_admin_s_metrics_count_stored_bytes(
    api_on_both_databases: ApiServer, scope: Scope
) -> None:
    """A file that another owner has stored does not make them larger."""
    server = api_on_both_databases
    Owner(server, "ada").send("POST", "/datasets", content=make_npz(), params={"name": "mine"})
    key = make_key(server.db, scope, owner="watcher")
    text = request_with_key(server, key, path="/metrics").text
    assert ("richregime_stored_bytes" in text) == (scope is Scope.ADMIN)
    assert ("richregime_free_bytes" in text) == (scope is Scope.ADMIN)
    assert "richregime_queue_depth" in text
