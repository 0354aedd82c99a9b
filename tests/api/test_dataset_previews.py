"""Previews of data sets: they tell what an import would store, and store nothing."""

from __future__ import annotations

import io
from base64 import b64decode
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select
from sqlmodel import SQLModel

from schemas.access import Scope
from tests.api.api_server import ApiServer
from tests.api.keys import make_key, request_with_key
from tests.api.sample_files import make_npz
from tests.api.test_importing import IRIS, SMALL, post, stored_files, zip_of_images
from tests.waiting import wait_until


def preview(api: ApiServer, name: str, content: str | bytes, **params: Any) -> httpx.Response:
    body = content.encode() if isinstance(content, str) else content
    return api.http.post("/datasets/preview", params={"name": name, **params}, content=body)


def count_rows(api: ApiServer) -> dict[str, int]:
    """The number of rows of every table."""
    with api.db.read() as session:
        return {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in SQLModel.metadata.sorted_tables
        }


def as_array(png: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(b64decode(png))))


CASES: list[tuple[str | bytes, dict[str, Any]]] = [
    (IRIS, {"file": "iris.csv", "test_share": 0.5, "seed": 3, "title": "Flowers"}),
    (zip_of_images(), {"side": 6, "colour": "colour"}),
    (make_npz(40), {}),
]


@pytest.mark.parametrize(("content", "params"), CASES, ids=["csv", "images", "npz"])
def test_a_preview_tells_what_the_import_then_stores_and_stores_nothing(
    api_on_both_databases: ApiServer, content: str | bytes, params: dict[str, Any]
) -> None:
    api = api_on_both_databases
    before = stored_files(api), count_rows(api)
    shown = preview(api, "mine", content, **params)
    assert shown.status_code == 200, shown.text
    # the copy that was read is deleted as the response ends, which the client may see before
    wait_until(lambda: (stored_files(api), count_rows(api)) == before, 20)
    assert api.http.get("/datasets/mine").status_code == 404
    assert shown.json()["conflict"] is None

    stored = post(api, "mine", content, **params).json()
    would_be = shown.json()["dataset"]
    assert (would_be.pop("created_at"), would_be.pop("available")) == (None, False)
    assert would_be == {name: stored[name] for name in would_be}
    before = stored_files(api), count_rows(api)
    assert preview(api, "mine", content, **params).json()["conflict"] is None
    # the copy that was read is deleted as the response ends, which the client may see before
    wait_until(lambda: (stored_files(api), count_rows(api)) == before, 20)


def test_the_first_rows_of_a_table_and_its_columns_are_shown(api_server: ApiServer) -> None:
    table = IRIS.replace("\n", ",red\n").replace(",red", ",colour", 1)
    found = preview(api_server, "t", table, file="t.csv", label="species").json()
    assert found["columns"] == ["length", "width", "species", "colour"]
    assert found["rows"]["names"] == ["length", "width"]
    with_label = zip(found["rows"]["values"], found["rows"]["labels"], strict=True)
    assert len(found["rows"]["labels"]) == 10
    for (length, width), label in with_label:
        assert (width, label) == (length % 7, length % 2)
    assert found["images"] == []


def test_the_first_images_of_each_class_are_shown(api_server: ApiServer) -> None:
    found = preview(api_server, "pets", zip_of_images(), side=12).json()
    assert (found["rows"], found["columns"]) == (None, None)
    assert found["dataset"]["class_names"] == ["cat", "dog"]
    assert [one["label"] for one in found["images"]] == [0, 1]
    for one, values in zip(found["images"], (range(10, 15), range(200, 205)), strict=True):
        picture = as_array(one["png"])
        assert picture.shape == (48, 8 * 50 - 2)
        shown = set(picture[5, 5 : 4 * 50 : 50].tolist())
        assert len(shown) == 4
        assert shown < set(values)
    many = preview(api_server, "many", make_npz(60, y_train=np.arange(60) % 30)).json()
    assert len(many["images"]) == 20
    assert many["dataset"]["num_classes"] == 30


def test_wrong_files_are_told_as_by_the_import_and_leave_nothing(api_server: ApiServer) -> None:
    before = stored_files(api_server), count_rows(api_server)
    cases: list[tuple[str | bytes, dict[str, Any]]] = [
        (IRIS + "7,,setosa\n", {"file": "iris.csv"}),
        (IRIS, {"file": "iris.csv", "label": "kind"}),
        (IRIS, {"file": "iris.csv", "side": 0}),
        (IRIS, {"file": "iris.csv", "test_share": 1}),
        (make_npz(x_train=np.full((20, 4, 4), np.nan)), {"file": "n.npz"}),
        (zip_of_images(1), {}),
        (b"\x89PNG no data set", {"file": "a.png"}),
        (b"", {"file": "a.csv"}),
    ]
    for content, params in cases:
        refused, shown = (ask(api_server, "wrong", content, **params) for ask in (post, preview))
        assert (shown.status_code, refused.status_code) == (422, 422), shown.text
        assert shown.json()["errors"] == refused.json()["errors"]
    assert (stored_files(api_server), count_rows(api_server)) == before


def test_a_name_that_is_taken_is_told_with_the_version_that_would_replace_it(
    api_on_both_databases: ApiServer,
) -> None:
    api = api_on_both_databases
    changed = IRIS + "50,3,setosa\n"
    built_in = preview(api, "digits", IRIS, file="a.csv").json()
    assert built_in["conflict"] == "'digits' is built in; choose another name"
    assert post(api, "taken", IRIS, file="a.csv").status_code == 201
    found = preview(api, "taken", changed, file="a.csv").json()
    assert found["conflict"] == post(api, "taken", changed, file="a.csv").json()["detail"]
    found = preview(api, "taken", changed, file="a.csv", replace=True).json()
    assert (found["conflict"], found["dataset"]["version"]) == (None, 2)
    api.submit({"spec": {"kind": "train", "data": {"name": "taken"}, **SMALL}})
    found = preview(api, "taken", changed, file="a.csv", replace=True).json()
    refused = post(api, "taken", changed, file="a.csv", replace=True)
    assert refused.status_code == 409
    assert found["conflict"] == refused.json()["detail"]


def test_a_preview_needs_the_scope_of_an_upload(api_with_keys: ApiServer) -> None:
    for scope, status in ((Scope.READ, 403), (Scope.SUBMIT, 200)):
        response = request_with_key(
            api_with_keys,
            make_key(api_with_keys.db, scope),
            "POST",
            "/datasets/preview",
            params={"name": "mine", "file": "a.csv"},
            content=IRIS.encode(),
        )
        assert response.status_code == status, response.text
