"""The service below a path of a real reverse proxy: pages, links, redirects, cookies, client."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import pytest

from api.middleware.proxy_headers import TRUSTED_VARIABLE
from richregime import Client
from runtime.setting_errors import InvalidSetting
from runtime.settings import Settings
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key
from tests.api.page_reader import PageReader
from tests.api.reverse_proxy import proxy_below

PATH = "/lab/rich-regime"
HTML = {"Accept": "text/html"}
FOUND = (200, 405, 409)
"""405: a link for POST, such as `cancel`; 409: there is no result yet."""
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
BODY: dict[str, Any] = {
    "spec": {"kind": "train", "epochs": 3},
    "sweep": {"model.width": [10, 20]},
    "labels": {"a": "b"},
}


@dataclass(frozen=True)
class Proxied:
    """An API behind a proxy. http: a client of the proxy, which follows no redirects."""

    api_server: ApiServer
    http: httpx.Client
    url: str
    experiment_id: str


@pytest.fixture(scope="module", params=["setting", "header"])
def proxied(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
) -> Iterator[Proxied]:
    """The path is a setting of the service, or a header of the proxy."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
    by_setting = request.param == "setting"
    settings = make_settings(home, root_path=f"{PATH}/" if by_setting else "")
    headers = {} if by_setting else {"X-Forwarded-Prefix": PATH}
    with (
        serve_api(settings) as api_server,
        proxy_below(PATH, str(api_server.http.base_url).rstrip("/"), headers) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        made = str(api_server.submit(BODY)["id"])
        api_server.finish_all_runs(made)
        api_server.submit({**BODY, "name": "second", "reuse": False})
        yield Proxied(api_server, http, url, made)


def list_addresses(page: str) -> Iterator[tuple[str, str]]:
    """(method, address) of each link, script, style sheet, picture and HTML form of a page."""
    for _, attributes in PageReader(page).tags:
        for name in ("href", "src", "action", "data-src"):
            found = attributes.get(name)
            if found is not None:
                is_post = attributes.get("method") == "post"
                yield "POST" if is_post else "GET", found


def test_every_address_of_every_page_is_found_below_the_path(proxied: Proxied) -> None:
    start = f"{proxied.url}{PATH}/"
    waiting, seen = [("GET", start), ("GET", f"{start}login"), ("GET", f"{start}view/none")], set()
    num_pages = 0
    while waiting:
        method, address = waiting.pop()
        if (method, address) in seen:
            continue
        seen.add((method, address))
        if "/plots/" in address and not address.endswith(".json"):
            assert address.startswith(start)  # all are one route, which takes a second
            continue
        if method == "POST":
            response = proxied.http.put(address)
            assert "POST" in response.headers["allow"], address
            continue
        response = proxied.http.get(address, headers=HTML, follow_redirects=True)
        assert response.status_code in FOUND or address.endswith("/view/none"), address
        if not response.headers["content-type"].startswith("text/html"):
            continue
        num_pages += 1
        for its_method, found in list_addresses(response.text):
            whole = urldefrag(urljoin(str(response.url), found)).url
            if urlsplit(whole).netloc == urlsplit(proxied.url).netloc:
                waiting.append((its_method, whole))
    assert num_pages > 40
    assert any("/view/" in address for _, address in seen)
    assert any(address.endswith("/assets/experiment.js") for _, address in seen)


def list_links(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value.get("links", {}).values()
        for inner in value.values():
            yield from list_links(inner)
    if isinstance(value, list):
        for inner in value:
            yield from list_links(inner)


def test_every_link_of_a_resource_is_found_below_the_path(proxied: Proxied) -> None:
    base = f"{PATH}/experiments/{proxied.experiment_id}"
    run = proxied.http.get(f"{base}/runs").json()["items"][0]["id"]
    found: set[str] = set()
    for path in (
        *(f"{PATH}/experiments", base, f"{base}/runs", f"{base}/plots"),
        *(f"{PATH}/runs/{run}", f"{PATH}/runs/{run}/checkpoints"),
    ):
        found |= set(list_links(proxied.http.get(path).json()))
    assert len(found) > 15
    for link in found:
        response = proxied.http.get(link)
        assert link.startswith(f"{PATH}/")
        assert response.status_code in FOUND, link
    direct = proxied.api_server.get(f"/experiments/{proxied.experiment_id}")["links"]["self"]
    is_header = proxied.api_server.settings.root_path == ""
    assert direct.startswith("/experiments/" if is_header else PATH)


def test_locations_and_redirects_stay_below_the_path(proxied: Proxied) -> None:
    made = proxied.http.post(f"{PATH}/experiments", json={**BODY, "reuse": False})
    assert made.headers["location"] == f"{PATH}/experiments/{made.json()['id']}"
    imported = proxied.http.post(
        f"{PATH}/import",
        content=proxied.http.get(f"{PATH}/experiments/{proxied.experiment_id}/export").content,
    )
    assert imported.headers["location"] == f"{PATH}/experiments/{imported.json()['id']}"
    problem = proxied.http.get(f"{PATH}/experiments/exp_none").json()
    assert problem["type"] == f"{PATH}/guide/errors#not-found"
    assert proxied.http.get(problem["type"]).status_code == 200
    assert f"]({PATH}/guide/access.md)" in proxied.http.get(f"{PATH}/llms.txt").text
    guide = proxied.http.get(f"{PATH}/guide")
    assert guide.headers["location"] == f"{PATH}/guide/quick-start"
    slash = proxied.http.get(f"{PATH}/experiments/")
    assert (slash.status_code, slash.headers["location"]) == (307, f"{PATH}/experiments")


def test_errors_name_the_path_that_the_client_sent(proxied: Proxied) -> None:
    for path in ("/no", "/experiments/none", "/assets/none"):
        problem = proxied.http.get(f"{PATH}{path}").json()
        assert (problem["status"], problem["instance"]) == (404, f"{PATH}{path}")
        page = proxied.http.get(f"{PATH}{path}", headers=HTML)
        assert f'href="{PATH}/assets/page.css"' in page.text
    assert proxied.http.put(f"{PATH}/experiments").headers["allow"] == "GET, HEAD, POST"
    assert proxied.http.post(f"{PATH}/assets/experiments").headers["allow"] == "GET, HEAD"


def test_the_description_names_the_path_as_its_server(proxied: Proxied) -> None:
    assert proxied.http.get(f"{PATH}/openapi.json").json()["servers"] == [{"url": PATH}]
    redoc = proxied.http.get(f"{PATH}/redoc")
    assert f"{PATH}/openapi.json" in redoc.text
    assert "'unsafe-inline'; worker-src blob:" in redoc.headers["content-security-policy"]


def test_the_examples_of_a_page_have_the_whole_address(proxied: Proxied) -> None:
    page = proxied.http.get(f"{PATH}/view/{proxied.experiment_id}", headers=HTML)
    assert f"{proxied.url}{PATH}/experiments" in page.text
    assert f"Client(&#39;{proxied.url}{PATH}&#39;)" in page.text


def test_the_client_works_with_an_address_that_has_a_path(proxied: Proxied) -> None:
    with Client(f"{proxied.url}{PATH}") as client:
        made = client.submit({**BODY, "reuse": False, "labels": {"by": "client"}})
        names = [event.name for event in client.events(proxied.experiment_id)]
        assert names[-1] == "experiment.finished"
        assert [one.id for one in client.iterate(label="by:client")] == [made.id]
        assert client.plot(proxied.experiment_id, "learning_curve")[:4] == b"\x89PNG"
        assert client.result(proxied.experiment_id).kind == "train"


@pytest.mark.parametrize("told_by", ["setting", "header"])
def test_login_and_cookie_stay_below_the_path(
    told_by: str, tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    settings = make_settings(tmp_path, root_path=PATH if told_by == "setting" else "")
    headers = {} if told_by == "setting" else {"X-Forwarded-Prefix": f"{PATH}/"}
    with serve_api(settings) as api_server:
        key = make_key(api_server.db)
        service = str(api_server.http.base_url).rstrip("/")
        with (
            proxy_below(PATH, service, headers) as url,
            httpx.Client(base_url=url, headers=HTML, timeout=60) as browser,
        ):
            led = browser.get(f"{PATH}/view/exp_1?a=%3F&b=2")
            assert (
                led.headers["location"] == f"{PATH}/login?next=%2Fview%2Fexp_1%3Fa%3D%253F%26b%3D2"
            )
            assert browser.get(f"{PATH}/").headers["location"] == f"{PATH}/login"
            page = browser.get(led.headers["location"]).text
            assert ("POST", f"{PATH}/login") in list_addresses(page)
            sent = {"key": key, "next": PageReader(page).all("input")[0]["value"]}
            done = browser.post(f"{PATH}/login", data=sent, headers=OWN_PAGE)
            assert (done.status_code, done.headers["location"]) == (
                303,
                f"{PATH}/view/exp_1?a=%3F&b=2",
            )
            assert f"Path={PATH};" in done.headers["set-cookie"]
            assert browser.get(f"{PATH}/machines").status_code == 200
            for other in ("//example.org/", "https://example.org/", "/\\example.org/"):
                sent = {"key": key, "next": other}
                done = browser.post(f"{PATH}/login", data=sent, headers=OWN_PAGE)
                assert done.headers["location"] == f"{PATH}/"
            left = browser.post(f"{PATH}/logout", headers=OWN_PAGE)
            assert left.headers["location"] == f"{PATH}/login"
            assert not browser.cookies
            assert browser.get(f"{PATH}/machines").status_code == 303


def test_the_header_counts_only_from_a_trusted_proxy(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    monkeypatch.setenv(TRUSTED_VARIABLE, "10.0.0.1,192.168.0.0/16")
    header = {"X-Forwarded-Prefix": "/other", "X-Forwarded-Proto": "https"}
    with serve_api(make_settings(tmp_path, root_path="/lab")) as api_server:
        assert 'href="/lab/assets' in api_server.http.get("/", headers=header).text
        assert api_server.http.get("/guide", headers=header).headers["location"].startswith("/lab/")
    monkeypatch.setenv(TRUSTED_VARIABLE, "127.0.0.0/8")
    with serve_api(make_settings(tmp_path, root_path="/lab")) as api_server:
        assert 'href="/other/assets' in api_server.http.get("/", headers=header).text
        assert 'href="/lab/assets' in api_server.http.get("/").text


@pytest.mark.parametrize(
    ("values", "root_path"),
    [
        (["/a"], "/a"),
        (["/a/"], "/a"),
        (["/"], ""),
        ([""], ""),
        (["/a, /b/"], "/a/b"),
        (["/a", "/b"], "/a/b"),
        (["/A.b-c_d~e/0"], "/A.b-c_d~e/0"),
    ],
)
def test_the_prefixes_of_several_proxies_are_joined(
    api_server: ApiServer, values: list[str], root_path: str
) -> None:
    headers = [("X-Forwarded-Prefix", value) for value in values]
    location = api_server.http.get("/guide", headers=headers).headers["location"]
    assert location == f"{root_path}/guide/quick-start"


WRONG = [
    "//example.org",
    "lab",
    "https://example.org",
    "/a b",
    '/"><b>',
    "/a?b",
    "/a#b",
    "/..",
    "/a/../b",
    "/.",
    "/%2e",
    "/a\\b",
    "/" + "a" * 200,
    "/ä",
    "/a//b",
]


@pytest.mark.parametrize("prefix", WRONG)
def test_a_wrong_prefix_is_refused(api_server: ApiServer, prefix: str) -> None:
    headers = {b"X-Forwarded-Prefix": prefix.encode("latin-1")}
    response = api_server.http.get("/guide", headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "invalid-request")
    assert "X-Forwarded-Prefix" in response.json()["detail"]
    with pytest.raises(InvalidSetting, match="it is like '/lab'"):
        Settings(root_path=prefix)


def test_a_proxy_that_keeps_the_path_is_told_so(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path, root_path="/lab")) as api_server:
        problem = api_server.http.get("/lab/experiments").json()
        assert "the proxy must remove /lab from the path" in problem["detail"]
