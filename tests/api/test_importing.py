"""Tables, folders of images and arrays of any layout, uploaded as data sets; new versions."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from engine.data.npz import read_npz
from tests.api.api_server import ApiServer
from tests.api.sample_files import make_npz

IRIS = "length,width,species\n" + "".join(
    f"{number},{number % 7},{('setosa', 'virginica')[number % 2]}\n" for number in range(40)
)
SMALL = {"model": {"name": "relu_net", "width": 2}, "epochs": 1}


def post(api: ApiServer, name: str, content: str | bytes, **params: Any) -> httpx.Response:
    body = content.encode() if isinstance(content, str) else content
    return api.http.post("/datasets", params={"name": name, **params}, content=body)


def zip_of_images(count: int = 5) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, value in (("cat", 10), ("dog", 200)):
            for number in range(count):
                image = io.BytesIO()
                Image.new("L", (9, 7), value + number).save(image, "png")
                archive.writestr(f"pets/{name}/{number}.png", image.getvalue())
    return stream.getvalue()


def stored_files(api: ApiServer) -> set[str]:
    return {path.name for path in api.settings.resolved_blob_dir.rglob("*") if path.is_file()}


def test_a_table_becomes_features_that_relu_nets_train_on(api_server: ApiServer) -> None:
    made = post(api_server, "iris", IRIS, file="iris.csv")
    assert made.status_code == 201, made.text
    found = made.json()
    assert (found["shape"], found["dtype"], found["version"]) == ([2], "float32", 1)
    assert found["class_names"] == ["setosa", "virginica"]
    assert found["feature_names"] == ["length", "width"]
    assert found["class_counts"] == {"train": [16, 16], "test": [4, 4]}
    assert found["notes"] == ["labels: column 'species'"]
    assert found == api_server.get("/datasets/iris")
    assert found in api_server.get("/datasets")["items"]
    preview = api_server.http.post(
        "/experiments/preview", json={"spec": {"kind": "train", "data": {"name": "iris"}, **SMALL}}
    )
    assert preview.status_code == 200, preview.text
    again = post(api_server, "iris", IRIS, file="iris.csv")
    assert (again.status_code, again.json()) == (200, found)


@pytest.mark.parametrize(
    ("parts", "pointer", "detail"),
    [
        (
            {"model": {"name": "vgg5"}},
            "#/spec/model",
            "the model is 'vgg5', a net of convolutions, but the examples of 'flat' are no images: "
            "2 features each; use a net of linear layers, such as 'relu_net' or 'mlp'",
        ),
        (
            {"data": {"augmentation": "crop_flip"}},
            "#/spec/data/augmentation",
            "augmentation is 'crop_flip', which moves pixels, but the examples of 'flat' are no "
            "images: 2 features each; use 'none'",
        ),
        (
            {"data": {"corruption": {"shuffled_pixels": True}}},
            "#/spec/data/corruption/shuffled_pixels",
            "shuffled_pixels is true, but the examples of 'flat' are no images: 2 features each; "
            "leave it out",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/experiments", "/experiments/preview"])
def test_what_needs_images_is_refused_on_features_at_submission(
    api_server: ApiServer, path: str, parts: dict[str, Any], pointer: str, detail: str
) -> None:
    assert post(api_server, "flat", IRIS, file="flat.csv").status_code in (200, 201)
    spec = {"kind": "train", **parts, "data": {**parts.get("data", {}), "name": "flat"}}
    response = api_server.http.post(path, json={"spec": spec})
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"pointer": pointer, "code": "needs-images", "detail": detail}
    ]


def test_a_folder_of_images_is_scaled_and_its_folders_name_the_classes(
    api_server: ApiServer,
) -> None:
    made = post(api_server, "pets", zip_of_images(), side=6, colour="colour", test_share=0.4)
    assert made.status_code == 201, made.text
    found = made.json()
    assert (found["shape"], found["class_names"]) == ([3, 6, 6], ["cat", "dog"])
    assert found["class_counts"] == {"train": [3, 3], "test": [2, 2]}
    arrays = read_npz(api_server.blobs.path(found["sha256"]))
    assert set(arrays["x_train"][arrays["y_train"] == 1].ravel()) <= set(range(200, 205))


def test_errors_name_file_and_line_and_nothing_is_stored(api_server: ApiServer) -> None:
    before = stored_files(api_server)
    cases: list[tuple[str | bytes, dict[str, str], str]] = [
        (
            IRIS + "7,,setosa\n",
            {"file": "iris.csv"},
            "iris.csv: line 42, column 'width': the value",
        ),
        (IRIS, {"file": "iris.csv", "label": "kind"}, "there is no column 'kind'"),
        (make_npz(x_train=np.full((20, 4, 4), np.nan)), {"file": "n.npz"}, "n.npz: x_train[0, 0"),
        (zip_of_images(1), {}, "class 'cat' has 1 example"),
    ]
    for content, params, detail in cases:
        response = post(api_server, "wrong", content, **params)
        assert response.status_code == 422, response.text
        assert detail in response.json()["errors"][0]["detail"]
    wrong: list[dict[str, Any]] = [{"test_share": 0}, {"test_share": 1}, {"side": 0}]
    for params in (*wrong, {"colour": "blue"}):
        assert post(api_server, "wrong", IRIS, file="iris.csv", **params).status_code == 422
    assert stored_files(api_server) == before
    assert api_server.http.get("/datasets/wrong").status_code == 404


def test_notes_of_the_client_are_kept_before_those_of_the_import(api_server: ApiServer) -> None:
    notes = ["from hf:ada/iris, revision 1", "two rows were left out"]
    made = post(api_server, "noted", IRIS, file="a.csv", note=notes)
    assert made.status_code == 201, made.text
    assert api_server.get("/datasets/noted")["notes"] == [*notes, "labels: column 'species'"]
    for wrong in (["x" * 301], [""], ["x"] * 21):
        assert post(api_server, "wrong", IRIS, file="a.csv", note=wrong).status_code == 422


def test_a_new_version_replaces_the_old_one_once_no_run_needs_it(
    api_on_both_databases: ApiServer,
) -> None:
    api = api_on_both_databases
    old = post(api, "flowers", IRIS, file="a.csv").json()
    changed = IRIS + "50,3,setosa\n"
    taken = post(api, "flowers", changed, file="a.csv")
    assert (taken.status_code, "replace=true" in taken.json()["detail"]) == (409, True)
    body = {"spec": {"kind": "train", "data": {"name": "flowers"}, **SMALL}}
    experiment = api.submit(body)["id"]
    needed = post(api, "flowers", changed, file="a.csv", replace=True)
    assert (needed.status_code, experiment in needed.json()["detail"]) == (409, True)
    assert api.get("/datasets/flowers") == old
    assert api.http.post(f"/experiments/{experiment}/cancel").status_code == 200

    new = post(api, "flowers", changed, file="a.csv", replace=True)
    assert new.status_code == 201, new.text
    assert (new.json()["version"], new.json()["train_size"]) == (2, 33)
    assert api.get("/datasets/flowers") == new.json()
    assert not api.blobs.exists(old["sha256"])
    assert api.blobs.exists(new.json()["sha256"])
    again = post(api, "flowers", changed, file="a.csv", replace=True)
    assert (again.status_code, again.json()["version"]) == (200, 2)
    refused = api.http.post(f"/experiments/{experiment}/extend", json={"seeds": [7]})
    assert refused.status_code == 409
    assert "deleted and registered with other content" in refused.json()["detail"]
    assert api.submit(body)["id"] != experiment
