"""The pages of data sets: list, one page each, previews."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from schemas.problems import PROBLEM_MEDIA_TYPE
from tests.api.api_server import ApiServer
from tests.api.page_reader import PageReader
from tests.api.sample_files import make_npz
from tests.api.test_importing import IRIS, SMALL, post

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def read(api: ApiServer, path: str) -> str:
    response = api.http.get(path, headers=BROWSER)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/html")
    return response.text


def picture_of(api: ApiServer, name: str) -> np.ndarray[Any, Any]:
    response = api.http.get(f"/data/{name}/preview.png")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    return np.asarray(Image.open(io.BytesIO(response.content)))


def test_a_browser_is_sent_from_the_resource_to_the_page(api_server: ApiServer) -> None:
    for path, page in (("/datasets", "/data"), ("/datasets/digits", "/data/digits")):
        sent = api_server.http.get(path, headers=BROWSER, follow_redirects=False)
        assert (sent.status_code, sent.headers["location"]) == (303, page)
        assert sent.headers["vary"] == "Accept"
        kept = api_server.http.get(path)
        assert kept.headers["content-type"] == "application/json"
        assert "Accept" in kept.headers["vary"]


def test_the_list_links_every_data_set(api_server: ApiServer) -> None:
    assert post(api_server, "listed", make_npz(26)).status_code in (200, 201)
    links = [link["href"] for link in PageReader(read(api_server, "/data")).all("a")]
    for name in ("listed", "digits", "cifar10"):
        assert f"/data/{name}" in links
    assert "mnist" in read(api_server, "/data/mnist")
    assert api_server.http.get("/data/nothing").status_code == 404


def test_a_page_shows_classes_counts_notes_rows_and_who_uses_it(api_server: ApiServer) -> None:
    table = IRIS.replace("\n", ",blue <b>\n").replace("blue <b>", "colour", 1)
    made = post(api_server, "paged", table, file="a.csv", label="species")
    assert made.status_code == 201, made.text
    used = api_server.submit({"spec": {"kind": "train", "data": {"name": "paged"}, **SMALL}})["id"]
    text = " ".join(read(api_server, "/data/paged").split())
    assert "2 features, float32" in text
    assert '<th scope="row">setosa</th><td class="number">16</td><td class="number">4</td>' in text
    assert "column &#39;colour&#39; was left out: it holds text (line 2: &#39;blue" in text
    assert "&lt;b&gt;" in text
    assert '<th scope="col" class="number">length</th>' in text
    assert f"/view/{used}" in text
    assert "an earlier version" not in text
    assert api_server.http.get("/data/paged/preview.png").status_code == 404
    assert api_server.http.post(f"/experiments/{used}/cancel").status_code == 200
    new = post(api_server, "paged", IRIS + "9,9,setosa\n", file="a.csv", replace=True)
    assert new.status_code == 201, new.text
    text = " ".join(read(api_server, "/data/paged").split())
    assert "Version 2, registered" in text
    assert f"an earlier version, <code>{made.json()['sha256'][:12]}</code>" in text


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_the_preview_has_a_row_of_images_for_each_class(
    api_server: ApiServer, dtype: Any, channels: tuple[int, ...]
) -> None:
    """12 x 24 images of one value each, shown 24 x 48 pixels large, eight a row."""
    values = np.arange(0, 200, 10)
    images = np.broadcast_to(
        values.reshape(-1, *[1] * (2 + len(channels))), (20, 24, 12, *channels)
    ).astype(dtype)
    content = make_npz(20, x_train=images, x_test=images[:6])
    name = f"seen-{np.dtype(dtype).name}-{len(channels)}"
    assert post(api_server, name, content).status_code == 201
    picture = picture_of(api_server, name)
    assert picture.shape == (2 * 50 - 2, 8 * 26 - 2, *channels)
    shown = np.array(
        [picture[row * 50 + 5, column * 26 + 5] for row in (0, 1) for column in range(8)]
    )
    expected = np.concatenate([values[::2][:8], values[1::2][:8]])
    if dtype == np.float32:
        expected = np.round(expected * 255 / expected.max())
    assert np.array_equal(shown.reshape(16, -1)[:, 0], expected)
    assert (picture[49] == 255).all()
    page = PageReader(read(api_server, f"/data/{name}"))
    assert page.all("img")[0]["src"] == f"/data/{name}/preview.png?version=1"


def test_a_page_is_shown_without_a_preview_where_the_file_is_lost(api_server: ApiServer) -> None:
    made = post(api_server, "gone", make_npz(30)).json()
    api_server.blobs.delete(made["sha256"])
    page = PageReader(read(api_server, "/data/gone"))
    assert page.all("img") == []
    lost = api_server.http.get("/data/gone/preview.png")
    assert (lost.status_code, lost.headers["content-type"]) == (422, PROBLEM_MEDIA_TYPE)


def test_large_compressed_sets_have_no_preview(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.data import preview

    stream = io.BytesIO()
    images = np.zeros((20, 4, 4), np.uint8)
    labels = np.arange(20) % 2
    np.savez_compressed(stream, x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert post(api_server, "packed", stream.getvalue()).status_code == 201
    assert post(api_server, "stored", make_npz(32)).status_code == 201
    assert api_server.http.get("/data/packed/preview.png").status_code == 200
    monkeypatch.setattr(preview, "MAX_DECOMPRESSED", 100)
    assert api_server.http.get("/data/packed/preview.png").status_code == 404
    assert api_server.http.get("/data/stored/preview.png").status_code == 200
