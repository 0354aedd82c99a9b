"""Ownership: every route without a key, without the scope, and with another owner's key."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import SQLModel

from api.app import create_app
from api.middleware.authentication import COOKIE
from runtime.settings import Settings
from schemas.access import Scope
from storage.access.keys import find_key, list_keys, revoke_key
from storage.access.logins import create_login
from storage.access.ownership import EXPERIMENT_TABLES, OWNED_TABLES, RUN_TABLES, SERVICE_TABLES
from storage.database.tables import ArtifactRow
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key, request_with_key
from tests.api.sample_files import (
    CHECKPOINT_SHAPES,
    body_from_checkpoint,
    make_checkpoint,
    make_npz,
)
from tests.api.zip_files import unpack_zip
from tests.postgres import new_database

MARK = "adasown"
"""A part of the name or title of everything that Ada owns."""
BODY: dict[str, Any] = {"spec": {"kind": "train"}, "seeds": [0, 1], "name": f"experiment {MARK}"}
USUAL = (Scope.READ, Scope.SUBMIT, Scope.CANCEL)
NOWHERE = "0" * 22


class Shown(StrEnum):
    """What the route returns to another owner."""

    NOT_FOUND = "404, as for an unknown id"
    OWN = "only the owner's own data"
    COMMON = "data without an owner"
    FORBIDDEN = "403: only for admins"


@dataclass(frozen=True)
class Rule:
    scope: Scope | None
    """None: no key is required."""
    shown: Shown


READS = {shown: Rule(Scope.READ, shown) for shown in Shown}
RULES: dict[str, Rule] = {
    "GET /experiments": READS[Shown.OWN],
    "POST /experiments": Rule(Scope.SUBMIT, Shown.OWN),
    "POST /experiments/preview": READS[Shown.OWN],
    "GET /experiments/compare": READS[Shown.NOT_FOUND],
    "POST /experiments/cancel": Rule(Scope.CANCEL, Shown.OWN),
    "POST /experiments/retry": Rule(Scope.SUBMIT, Shown.OWN),
    "POST /experiments/delete": Rule(Scope.CANCEL, Shown.OWN),
    "POST /experiments/label": Rule(Scope.SUBMIT, Shown.OWN),
    "GET /experiments/compare.{format}": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}": READS[Shown.NOT_FOUND],
    "PATCH /experiments/{experiment_id}": Rule(Scope.SUBMIT, Shown.NOT_FOUND),
    "DELETE /experiments/{experiment_id}": Rule(Scope.CANCEL, Shown.NOT_FOUND),
    "POST /experiments/{experiment_id}/cancel": Rule(Scope.CANCEL, Shown.NOT_FOUND),
    "POST /experiments/{experiment_id}/retry": Rule(Scope.SUBMIT, Shown.NOT_FOUND),
    "POST /experiments/{experiment_id}/extend": Rule(Scope.SUBMIT, Shown.NOT_FOUND),
    "GET /experiments/{experiment_id}/runs": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}/events": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}/metrics": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}/result": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}/result.{format}": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}/export": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}/report.{report_format}": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}/comparison": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}/comparison.{format}": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}/difference": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}/plots": READS[Shown.NOT_FOUND],
    "GET /experiments/{experiment_id}/plots/{name}.{ending}": READS[Shown.NOT_FOUND],
    "GET /runs/{run_id}": READS[Shown.NOT_FOUND],
    "GET /runs/{run_id}/metrics": READS[Shown.NOT_FOUND],
    "GET /runs/{run_id}/checkpoints": READS[Shown.NOT_FOUND],
    "GET /runs/{run_id}/artifacts": READS[Shown.NOT_FOUND],
    "GET /artifacts/{artifact_id}": READS[Shown.NOT_FOUND],
    "POST /import": Rule(Scope.SUBMIT, Shown.OWN),
    "GET /datasets": READS[Shown.OWN],
    "GET /datasets/{name}": READS[Shown.NOT_FOUND],
    "DELETE /datasets/{name}": Rule(Scope.SUBMIT, Shown.NOT_FOUND),
    "POST /datasets": Rule(Scope.SUBMIT, Shown.OWN),
    "POST /datasets/preview": Rule(Scope.SUBMIT, Shown.OWN),
    "GET /checkpoints": READS[Shown.OWN],
    "GET /checkpoints/{checkpoint_id}": READS[Shown.NOT_FOUND],
    "DELETE /checkpoints/{checkpoint_id}": Rule(Scope.SUBMIT, Shown.NOT_FOUND),
    "POST /checkpoints": Rule(Scope.SUBMIT, Shown.OWN),
    "GET /kinds": READS[Shown.COMMON],
    "GET /kinds/{kind}": READS[Shown.COMMON],
    "GET /presets": READS[Shown.COMMON],
    "GET /presets/{name}": READS[Shown.COMMON],
    "GET /presets/{name}.json": READS[Shown.COMMON],
    "GET /readings": READS[Shown.COMMON],
    "GET /models": READS[Shown.COMMON],
    "GET /models/{name}": READS[Shown.COMMON],
    "GET /plugins": READS[Shown.COMMON],
    "GET /workers": READS[Shown.COMMON],
    "POST /workers/{worker}/cordon": Rule(Scope.ADMIN, Shown.FORBIDDEN),
    "POST /workers/{worker}/uncordon": Rule(Scope.ADMIN, Shown.FORBIDDEN),
    "GET /queue": READS[Shown.COMMON],
    "GET /limits": READS[Shown.COMMON],
    "GET /metrics": READS[Shown.COMMON],
    "GET /storage": Rule(Scope.ADMIN, Shown.FORBIDDEN),
    "GET /audit": Rule(Scope.ADMIN, Shown.FORBIDDEN),
    "GET /healthz": Rule(None, Shown.COMMON),
    "GET /readyz": Rule(None, Shown.COMMON),
    "GET /login": Rule(None, Shown.COMMON),
    "POST /login": Rule(None, Shown.COMMON),
    "POST /logout": Rule(None, Shown.COMMON),
    "GET /": READS[Shown.OWN],
    "GET /view/{experiment_id}": READS[Shown.NOT_FOUND],
    "GET /view/runs/{run_id}": READS[Shown.NOT_FOUND],
    "GET /compare": READS[Shown.NOT_FOUND],
    "GET /submit": READS[Shown.NOT_FOUND],
    "GET /machines": READS[Shown.OWN],
    "GET /uploads": READS[Shown.OWN],
    "GET /data": READS[Shown.OWN],
    "GET /data/{name}": READS[Shown.NOT_FOUND],
    "GET /data/{name}/preview.png": READS[Shown.NOT_FOUND],
    "GET /plotly.min.js": READS[Shown.COMMON],
    "GET /guide": READS[Shown.COMMON],
    "GET /guide/{folder}/{name}.png": READS[Shown.COMMON],
    "GET /guide/{slug:path}": READS[Shown.COMMON],
    "GET /guide/{slug:path}.md": READS[Shown.COMMON],
    "GET /llms.txt": READS[Shown.COMMON],
    "GET /llms-full.txt": READS[Shown.COMMON],
    "GET /schemas/submission.json": READS[Shown.COMMON],
    "GET /docs": READS[Shown.COMMON],
    "GET /redoc": READS[Shown.COMMON],
    "GET /openapi.json": READS[Shown.COMMON],
    "GET /static-offline-docs": READS[Shown.COMMON],
    "GET /assets": Rule(None, Shown.COMMON),
}
"""The expectation for every route; a route without one fails a test."""
PARAMETERS = {
    "kind": "train",
    "slug:path": "access",
    "folder": "images",
    "ending": "json",
    "format": "csv",
    "report_format": "md",
    "worker": "somewhere",
}
MOUNTED = {
    "/assets": "/assets/page.css",
    "/static-offline-docs": "/static-offline-docs/swagger-ui.css",
}
"""A file of each mounted folder."""


def list_routes() -> list[str]:
    """`METHOD path` of every route of the application."""
    found = []
    for route in create_app(Settings(database_url=None, broker_url=None)).routes:
        for inner in getattr(getattr(route, "original_router", None), "routes", [route]):
            methods = getattr(inner, "methods", None) or {"GET"}
            found += [f"{method} {inner.path}" for method in sorted(methods - {"HEAD"})]
    return found


@dataclass(frozen=True)
class Group:
    """A service with two users and an admin; Ada owns all its data."""

    api_server: ApiServer
    ada: str
    ben: str
    root: str
    ids: dict[str, str]
    """Ada's ids by path parameter."""
    archive: bytes
    """The zip export of Ada's experiment, with files, from before the tests."""

    def send(
        self, key: str | None, route: str, ids: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send a request to the route, with Ada's ids by default."""
        ids = self.ids if ids is None else ids
        method, _, path = route.partition(" ")
        address = MOUNTED.get(path, path)
        for name in {**PARAMETERS, **ids}:
            address = address.replace(f"{{{name}}}", {**PARAMETERS, **ids}[name])
        for folder, name in (("presets", "demo"), ("models", "mlp")):
            if folder in path:
                address = address.replace(ids["name"], name)
        if "/plots/" in path:
            address = address.replace(ids["name"], "learning_curve")
        if path.startswith("/guide/{folder}"):
            address = "/guide/images/demo_learning_curve.png"
        response = request_with_key(self.api_server, key, method, address, **self.more(route, ids))
        self.api_server.http.cookies.clear()
        return response

    def more(self, route: str, ids: dict[str, str]) -> dict[str, Any]:
        match route:
            case "POST /experiments" | "POST /experiments/preview":
                return {"json": {**BODY, "name": "the same"}}
            case "POST /experiments/{experiment_id}/extend":
                return {"json": {"seeds": [7]}}
            case (
                "POST /experiments/cancel" | "POST /experiments/retry" | "POST /experiments/delete"
            ):
                return {"json": {"filter": {"q": MARK}, "dry_run": True}}
            case "POST /experiments/label":
                return {"json": {"filter": {"q": MARK}, "labels": {"a": "b"}, "dry_run": True}}
            case "PATCH /experiments/{experiment_id}":
                return {"json": {"priority": 1}}
            case _ if route.startswith("DELETE"):
                return {"params": {"dry_run": "true"}}
            case "GET /experiments/{experiment_id}/difference":
                return {"params": {"point": 0}}
            case "POST /datasets" | "POST /datasets/preview":
                return {"content": make_npz(), "params": {"name": "common", "title": "a data set"}}
            case "POST /checkpoints":
                return {"content": make_checkpoint(CHECKPOINT_SHAPES, "BF16")}
            case "POST /import":
                return {"content": b"no archive"}
            case "GET /compare":
                return {"params": {"id": ids["experiment_id"]}}
            case "GET /experiments/compare" | "GET /experiments/compare.{format}":
                return {"params": {"id": [ids["experiment_id"], ids["experiment_id"]]}}
            case "GET /submit":
                return {"params": {"from": ids["experiment_id"]}}
            case "POST /login" | "POST /logout":
                return {"data": {"key": self.ada}, "headers": {"Sec-Fetch-Site": "same-origin"}}
        return {}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def group(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Group]:
    home = tmp_path_factory.mktemp("group")
    if request.param == "sqlite":
        shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
        with serve_api(make_settings(home)) as api_server:
            yield fill(api_server)
        return
    with (
        new_database(request.getfixturevalue("postgres_server")) as url,
        serve_api(make_settings(home, database_url=url)) as api_server,
    ):
        yield fill(api_server)


def fill(api_server: ApiServer) -> Group:
    """Create one object of each type for Ada through the API."""
    ada, ben = make_key(api_server.db, *USUAL), make_key(api_server.db, *USUAL, owner="ben")
    root = make_key(api_server.db, Scope.ADMIN, owner="root")
    experiment = request_with_key(api_server, ada, "POST", json=BODY).json()["id"]
    api_server.http.headers["Authorization"] = (
        f"Bearer {ada}"  # for claim_run, which sends requests
    )
    runs = api_server.finish_all_runs(experiment)
    del api_server.http.headers["Authorization"]
    artifact = request_with_key(api_server, ada, path=f"/runs/{runs[0].run_id}/checkpoints").json()[
        "items"
    ][0]["id"]
    with api_server.db.write() as session:  # from now on it holds weights
        row = session.get_one(ArtifactRow, artifact)
        row.sha256 = api_server.blobs.put(make_checkpoint(CHECKPOINT_SHAPES, "F16")).sha256
    named = {"name": MARK, "title": f"data set {MARK}"}
    assert (
        request_with_key(
            api_server, ada, "POST", "/datasets", content=make_npz(), params=named
        ).status_code
        == 201
    )
    brought = request_with_key(
        api_server,
        ada,
        "POST",
        "/checkpoints",
        content=make_checkpoint(CHECKPOINT_SHAPES),
        params={"title": f"weights {MARK}"},
    ).json()["id"]
    assert (
        request_with_key(api_server, ada, "POST", json={**BODY, "reuse": False}).status_code == 201
    )  # stays queued
    ids = {
        "experiment_id": experiment,
        "run_id": runs[0].run_id,
        "artifact_id": artifact,
        "name": MARK,
        "checkpoint_id": brought,
    }
    archive = request_with_key(
        api_server, ada, path=f"/experiments/{experiment}/export", params={"files": "true"}
    ).content
    return Group(api_server, ada, ben, root, ids, archive)


def test_the_rules_list_every_route() -> None:
    assert sorted(set(list_routes())) == sorted(RULES)


def test_every_table_is_owned_or_the_service_s() -> None:
    declared = [
        table.__tablename__
        for table in (*OWNED_TABLES, *EXPERIMENT_TABLES, *RUN_TABLES, *SERVICE_TABLES)
    ]
    assert sorted(declared) == sorted(SQLModel.metadata.tables)


@pytest.mark.parametrize("route", list_routes())
def test_a_route_without_a_key(group: Group, route: str) -> None:
    response = group.send(None, route)
    if RULES[route].scope is None:
        assert response.status_code in (200, 303, 503)
    else:
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("route", list_routes())
def test_a_route_without_the_scope(group: Group, route: str) -> None:
    needed = RULES[route].scope
    key = make_key(
        group.api_server.db, *(scope for scope in Scope if scope not in (needed, Scope.ADMIN))
    )
    response = group.send(key, route)
    if needed is None:
        assert response.status_code in (200, 303, 503)
    else:
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
        assert f'scope="{needed}"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize("route", list_routes())
def test_a_route_with_another_owner_s_key(group: Group, route: str) -> None:
    shown = RULES[route].shown
    response = group.send(group.ben, route)
    if shown is Shown.NOT_FOUND:
        assert (response.status_code, response.json()["code"]) == (404, "not-found")
        assert group.send(group.ada, route).status_code != 404, "it is there for her"
        assert group.send(group.root, route).status_code != 404, "and for an admin"
        nothing = {name: of[:4] + NOWHERE for name, of in group.ids.items()}
        assert without_names(response, group.ids) == without_names(
            group.send(group.ben, route, nothing), nothing
        )
        return
    if shown is Shown.FORBIDDEN:
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
        return
    assert response.status_code < 500 or route == "GET /readyz"
    assert MARK not in response.text
    assert not [
        of for of in group.ids.values() if of in response.text and of != group.ids["checkpoint_id"]
    ]
    if shown is Shown.OWN and route.startswith("GET"):
        assert MARK in group.send(group.ada, route).text
        assert MARK in group.send(group.root, route).text


@pytest.mark.parametrize("route", [one for one in list_routes() if not one.startswith("GET")])
def test_a_route_with_a_login_from_another_site_s_page(group: Group, route: str) -> None:
    with group.api_server.db.write() as session:
        is_for_admins = RULES[route].scope is Scope.ADMIN
        key = find_key(session, group.root if is_for_admins else group.ada)
        assert key is not None
        token = create_login(session, key, timedelta(minutes=1))
    group.api_server.http.cookies.set(COOKIE, token)
    method, _, path = route.partition(" ")
    response = request_with_key(group.api_server, None, method, path)
    group.api_server.http.cookies.clear()
    if RULES[route].scope is not Scope.READ:
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
        assert "only a page of this service" in response.json()["detail"]


def without_names(response: httpx.Response, ids: dict[str, str]) -> str:
    """The response's text without ids and names, and without the request id."""
    text = response.text.replace(response.headers["X-Request-Id"], "")
    for of in ids.values():
        text = text.replace(of, "")
    return text


def test_an_experiment_of_another_owner_is_never_reused(group: Group) -> None:
    body = {"spec": {"kind": "train", "epochs": 2}}
    first, again = (
        request_with_key(group.api_server, group.ada, "POST", json=body).json() for _ in range(2)
    )
    assert (first["reused"], again["reused"], again["id"]) == (False, True, first["id"])
    preview = request_with_key(
        group.api_server, group.ada, "POST", "/experiments/preview", json=body
    ).json()
    assert preview["reuses_experiment"] == first["id"]
    for key in (group.ben, group.root):
        preview = request_with_key(
            group.api_server, key, "POST", "/experiments/preview", json=body
        ).json()
        assert preview["reuses_experiment"] is None
        theirs = request_with_key(group.api_server, key, "POST", json=body).json()
        assert not theirs["reused"]
        assert theirs["id"] != first["id"]
    seen = {one["owner"] for one in request_with_key(group.api_server, group.root).json()["items"]}
    assert seen == {"ada", "ben", "root"}
    assert {
        one["owner"] for one in request_with_key(group.api_server, group.ben).json()["items"]
    } == {"ben"}


def test_owners_may_use_the_same_idempotency_key(group: Group) -> None:
    headers = {"Idempotency-Key": "one"}
    made = {}
    for key, epochs in ((group.ada, 3), (group.ben, 4)):
        body = {"spec": {"kind": "train", "epochs": epochs}}
        first, again = (
            request_with_key(group.api_server, key, "POST", json=body, headers=headers)
            for _ in range(2)
        )
        assert (first.status_code, again.json()["id"]) == (201, first.json()["id"])
        made[key] = first.json()["id"]
    assert made[group.ada] != made[group.ben]


def test_owners_may_give_their_data_sets_and_weights_the_same_name(group: Group) -> None:
    sizes = {}
    for key, count in ((group.ada, 30), (group.ben, 40), (group.root, 50)):
        sent = {"content": make_npz(count), "params": {"name": "shared"}}
        assert (
            request_with_key(group.api_server, key, "POST", "/datasets", **sent).status_code == 201
        )
        assert (
            request_with_key(group.api_server, key, "POST", "/datasets", **sent).status_code == 200
        )
        body = {
            "spec": {
                "kind": "train",
                "data": {"name": "shared", "train_size": count, "test_size": 5},
            }
        }
        assert (
            request_with_key(
                group.api_server, key, "POST", "/experiments/preview", json=body
            ).status_code
            == 200
        ), count
        sizes[key] = request_with_key(group.api_server, key, path="/datasets/shared").json()[
            "train_size"
        ]
    assert (sizes[group.ada], sizes[group.ben]) == (30, 40)
    titles = {}
    for key, title in ((group.ada, "hers"), (group.ben, "his")):
        params = {"title": title}
        file = make_checkpoint({"layers.0.a": [1]})
        made = request_with_key(
            group.api_server, key, "POST", "/checkpoints", content=file, params=params
        )
        assert made.status_code == 201
        titles[key] = request_with_key(
            group.api_server, key, path=f"/checkpoints/{made.json()['id']}"
        ).json()["title"]
    assert (titles[group.ada], titles[group.ben]) == ("hers", "his")


def test_data_sets_and_weights_of_another_owner_cannot_be_used(group: Group) -> None:
    for checkpoint in (group.ids["artifact_id"], group.ids["checkpoint_id"]):
        body = {"json": body_from_checkpoint(checkpoint)}
        known = request_with_key(
            group.api_server, group.ada, "POST", "/experiments/preview", **body
        )
        assert known.status_code == 200, known.text
        for key in (make_key(group.api_server.db, owner="eve"), group.root):
            refused = request_with_key(
                group.api_server, key, "POST", "/experiments/preview", **body
            )
            assert refused.json()["errors"][0]["code"] == "not-found"
    body = {"json": {"spec": {"kind": "train", "data": {"name": MARK}}}}
    refused = request_with_key(group.api_server, group.ben, "POST", "/experiments/preview", **body)
    assert refused.json()["errors"][0]["code"] == "dataset-unavailable"
    assert MARK not in refused.json()["errors"][0]["detail"].partition("known:")[2]


def test_an_admin_s_change_does_not_change_the_owner(group: Group) -> None:
    sent = {"content": make_npz(25), "params": {"name": "hers"}}
    assert (
        request_with_key(group.api_server, group.ada, "POST", "/datasets", **sent).status_code
        == 201
    )
    body = {"spec": {"kind": "train", "data": {"name": "hers", "train_size": 20, "test_size": 5}}}
    made = request_with_key(group.api_server, group.ada, "POST", json=body).json()["id"]
    extended = request_with_key(
        group.api_server, group.root, "POST", f"/experiments/{made}/extend", json={"seeds": [5]}
    )
    assert (extended.status_code, extended.json()["owner"]) == (200, "ada"), extended.text
    assert (
        request_with_key(
            group.api_server, group.root, "POST", f"/experiments/{made}/cancel"
        ).json()["status"]
        == "cancelled"
    )
    assert (
        request_with_key(group.api_server, group.ada, path=f"/experiments/{made}").json()["status"]
        == "cancelled"
    )


def test_each_owner_can_import_the_same_zip(group: Group) -> None:
    made = [
        request_with_key(group.api_server, key, "POST", "/import", content=group.archive)
        for key in (group.ada, group.ben)
    ]
    assert [response.status_code for response in made] == [201, 201]
    again = request_with_key(group.api_server, group.ben, "POST", "/import", content=group.archive)
    assert (again.status_code, again.json()["id"]) == (200, made[1].json()["id"])
    assert (
        request_with_key(
            group.api_server, group.ada, path=f"/experiments/{made[1].json()['id']}"
        ).status_code
        == 404
    )


def test_an_import_counts_against_the_limits_of_its_owner(group: Group) -> None:
    max_key = make_key(group.api_server.db, *USUAL, owner="max")

    def used() -> dict[str, int]:
        found: dict[str, int] = request_with_key(group.api_server, max_key, path="/limits").json()[
            "used"
        ]
        return found

    assert (used()["bytes"], used()["metric_rows"]) == (0, 0)
    imported = request_with_key(group.api_server, max_key, "POST", "/import", content=group.archive)
    assert imported.status_code == 201
    lines = unpack_zip(group.archive)["metrics.csv"].decode().splitlines()
    assert used()["metric_rows"] == len(lines) - 1 > 0
    assert used()["bytes"] > 0


def test_deletion_keeps_a_file_that_another_owner_shares(group: Group) -> None:
    """And reports the same bytes as if nobody shared it: else it would tell what others store."""
    zoe = make_key(group.api_server.db, *USUAL, owner="zoe")
    theirs = request_with_key(
        group.api_server, zoe, "POST", "/import", content=group.archive
    ).json()
    files = {n: data for n, data in unpack_zip(group.archive).items() if n.startswith("files/")}
    stored = sum(map(len, files.values()))
    assert stored > 0
    for dry_run in ("true", "false"):
        path = f"/experiments/{theirs['id']}?dry_run={dry_run}"
        deletion = request_with_key(group.api_server, zoe, "DELETE", path)
        assert deletion.json()["bytes"] == stored
    assert (
        request_with_key(
            group.api_server, group.ada, path=f"/artifacts/{group.ids['artifact_id']}"
        ).status_code
        == 200
    )


def test_the_queue_counts_other_owners_runs_and_owners_take_turns(group: Group) -> None:
    body = {"spec": {"kind": "train", "epochs": 9}}
    many = {**body, "seeds": list(range(40)), "execution": {"seeds_per_run": 1}, "priority": 9}
    theirs = request_with_key(group.api_server, group.ada, "POST", json=many).json()["id"]
    before = request_with_key(group.api_server, group.ben, path="/queue").json()["queued"]
    assert before >= 40
    made = request_with_key(
        group.api_server, group.ben, "POST", json={**body, "priority": -9}
    ).json()
    assert made["queue"]["runs_ahead"] < before - 20, (
        "most of another's runs come later, whatever their priority"
    )
    for owner, one in ((group.ada, theirs), (group.ben, made["id"])):
        assert (
            request_with_key(
                group.api_server, owner, "POST", f"/experiments/{one}/cancel"
            ).status_code
            == 200
        )


def test_a_stream_ends_when_its_key_is_revoked(group: Group) -> None:
    key = make_key(group.api_server.db, *USUAL)
    made = request_with_key(
        group.api_server, key, "POST", json={"spec": {"kind": "train", "epochs": 11}}
    ).json()["id"]
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    address = f"/experiments/{made}/events"
    with group.api_server.http.stream(
        "GET", address, headers=headers, timeout=10
    ) as stream:  # shorter than the interval of comments
        lines = stream.iter_lines()
        assert (
            next(line for line in lines if line.startswith("event:"))
            == "event: experiment.submitted"
        )
        with group.api_server.db.write() as session:
            revoke_key(session, list_keys(session)[-1].id)
        assert "event: end" not in list(lines)
    assert (
        request_with_key(group.api_server, key, path=f"/experiments/{made}/events").status_code
        == 401
    )
