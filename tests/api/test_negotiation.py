"""The choice of a media type by the Accept header, and the header Vary."""

from __future__ import annotations

import time

import httpx
import pytest

from api.http.negotiation import CSV, HTML, JSON, choose, preference, wants_page
from tests.api.api_server import ApiServer

CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;"
    "q=0.8,application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SAFARI = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
LYNX = "text/html, text/plain, application/xhtml+xml, */*;q=0.01"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"
JAVA_19 = "text/html, image/gif, image/jpeg, */*; q=0.2"


@pytest.mark.parametrize(
    ("accept", "media_type", "quality"),
    [
        (None, "text/html", 1),
        ("", "text/html", 1),
        (" ", "text/html", 1),
        ("text/html", "text/html", 1),
        ("text/html", "text/csv", 0),
        ("TEXT/Html;Q=0.5", "text/html", 0.5),
        ("text/html ; q = 0.5", "text/html", 0.5),
        ("text/html;q=.5", "text/html", 0.5),
        ("text/html;q=0", "text/html", 0),
        ("text/html;q=1.000", "text/html", 1),
        ("text/html;q=7", "text/html", 1),
        ("text/html;q=high", "text/html", 1),
        ("text/html;level=1;q=0.4", "text/html", 0.4),
        ('text/html;title="a, b;q=0.1";q=0.4', "text/html", 0.4),
        ("*/*;q=0.1", "text/html", 0.1),
        ("*;q=0.1", "text/html", 0.1),
        ("text/*;q=0.3, */*;q=0.1", "text/html", 0.3),
        ("text/*;q=0.3, */*;q=0.1", "image/png", 0.1),
        ("*/*, text/html;q=0.2", "text/html", 0.2),
        ("*/*;q=0.9, text/*;q=0, text/csv;q=0.4", "text/csv", 0.4),
        ("text/html;q=0.2, text/html;q=0.6", "text/html", 0.6),
        # The example of RFC 9110, without the ranges that differ by a parameter alone
        ("text/*;q=0.3, text/plain;q=0.7, */*;q=0.5", "text/plain", 0.7),
        ("text/*;q=0.3, text/plain;q=0.7, */*;q=0.5", "text/html", 0.3),
        ("text/*;q=0.3, text/plain;q=0.7, */*;q=0.5", "image/jpeg", 0.5),
        ("application/json-seq", "application/json", 0),
    ],
)
def test_the_most_specific_range_gives_the_quality(
    accept: str | None, media_type: str, quality: float
) -> None:
    assert preference(accept, media_type).quality == quality


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("TEXT/CSV", CSV),
        ("text/*", CSV),
        ("application/json, text/csv", JSON),
        ("application/json, text/csv;q=0.9", JSON),
        ("application/json;q=0.8, text/csv;q=0.9", CSV),
        ("text/csv;q=0", JSON),
        ("image/png", JSON),
        ("text/csv-schema", JSON),
        (JAVA, JSON),
    ],
)
def test_of_equal_media_types_the_first_is_chosen(accept: str | None, chosen: str) -> None:
    assert choose(accept, (JSON, CSV)) == chosen


@pytest.mark.parametrize(
    ("accept", "is_wanted"),
    [
        *((browser, True) for browser in (CHROMIUM, FIREFOX, SAFARI, LYNX)),
        ("text/html", True),
        ("TEXT/HTML", True),
        ("text/html, application/json;q=0.9", True),
        ("text/html, application/xhtml+xml, */*", True),
        (JAVA, False),
        (JAVA_19, False),
        (None, False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("application/json, text/html;q=0.1", False),
        ("application/problem+json, text/html;q=0.9", False),
        ("application/json, text/html", False),
        ("text/html;q=0", False),
        ("application/json;q=0, text/html;q=0", False),
        ("application/xml", False),
        (f"{FIREFOX},application/problem+json", False),
    ],
)
def test_a_page_is_for_those_who_want_html_most(accept: str | None, is_wanted: bool) -> None:
    assert wants_page(accept) is is_wanted


@pytest.mark.parametrize("part", [",", '"', '\\"', ";q=", '","', "a/b,", ' " \\'])
def test_the_time_grows_with_the_length_of_the_header_only(part: str) -> None:
    began = time.perf_counter()
    wants_page(part * (200_000 // len(part)))
    assert time.perf_counter() - began < 5, "seconds; quadratic would be minutes"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [(CHROMIUM, HTML), ("application/json, text/html;q=0.1", "application/problem+json")]
    + [(accept, "application/problem+json") for accept in (JAVA, JAVA_19, "*/*", "image/png")],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/experiments/none"), ("GET", "/no"), ("PUT", "/experiments")]
)
def test_an_error_is_a_page_only_for_those_who_want_one(
    api_server: ApiServer, method: str, path: str, accept: str, media_type: str
) -> None:
    response = api_server.http.request(method, path, headers={"Accept": accept})
    assert response.status_code in (404, 405)
    assert response.headers["content-type"].partition(";")[0] == media_type
    assert response.headers["vary"] == "Accept"
    assert response.status_code == 404 or response.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    ("accept", "status"), [(CHROMIUM, 303), (JAVA, 401), ("application/json, text/html;q=0.1", 401)]
)
def test_only_a_browser_is_redirected_to_the_login(
    api_with_keys: ApiServer, accept: str, status: int
) -> None:
    response = httpx.get(
        api_with_keys.http.base_url.join("/machines"), headers={"Accept": accept}, timeout=60
    )
    assert (response.status_code, response.headers["vary"]) == (status, "Accept")


def test_metrics_and_events_have_the_wanted_media_type(api_server: ApiServer) -> None:
    made = api_server.submit({"spec": {"kind": "train", "epochs": 3}, "reuse": False})["id"]
    run = api_server.finish_all_runs(made)[0].run_id
    for path, other in (
        (f"/experiments/{made}/metrics", "text/csv"),
        (f"/experiments/{made}/metrics?aggregate=true", "text/csv"),
        (f"/runs/{run}/metrics", "text/csv"),
        (f"/experiments/{made}/events", "text/event-stream"),
    ):
        for accept, media_type in (
            (other.upper(), other),
            (f"{other};q=0.5, application/json;q=0.1", other),
            (f"{other};q=0.1, application/json", "application/json"),
            (f"{other};q=0, */*", "application/json"),
            (JAVA, "application/json"),
            ("*/*", "application/json"),
        ):
            response = api_server.http.get(path, headers={"Accept": accept})
            assert response.status_code == 200, path
            assert response.headers["content-type"].partition(";")[0] == media_type, accept
            assert response.headers["vary"] == "Accept", path
