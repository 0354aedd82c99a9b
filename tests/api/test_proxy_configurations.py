"""The configurations of Caddy and nginx in the guide, run by the real programs."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ops.ports import free_port
from richregime import Client
from tests.api.api_server import ApiServer
from tests.api.page_reader import PageReader

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "deployment.md"
PATH = "/richregime"
NGINX = """
daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""


@dataclass(frozen=True)
class Proxied:
    """A running proxy."""

    url: str
    """Without the path"""
    api_server: ApiServer


def read_configuration(program: str, port: int, service: str) -> str:
    """The guide's configuration, for plain HTTP on a port of this machine."""
    blocks = re.findall(rf"^```{program}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    text = str(blocks[0]).replace("127.0.0.1:8000", service.removeprefix("http://"))
    text = re.sub(r"^ *ssl_.*\n", "", text, flags=re.MULTILINE)
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    return text.replace("lab.example.org {", f"http://127.0.0.1:{port} {{")


@pytest.fixture(scope="module", params=["caddy", "nginx"])
def proxied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, api_server: ApiServer
) -> Iterator[Proxied]:
    program = shutil.which(request.param)
    if program is None:
        pytest.skip(f"{request.param} is not installed")
    folder, port = tmp_path_factory.mktemp("proxy"), free_port()
    file = folder / "configuration"
    server = read_configuration(request.param, port, str(api_server.http.base_url).rstrip("/"))
    if request.param == "nginx":
        file.write_text(NGINX.format(folder=folder, server=server))
        command = [program, "-p", str(folder), "-c", str(file)]
    else:
        file.write_text("{\n    admin off\n    auto_https off\n}\n" + server)
        command = [program, "run", "--adapter", "caddyfile", "--config", str(file)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.1)
        yield Proxied(url, api_server)
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_the_guide_s_proxy_serves_pages_redirects_uploads_and_streams(proxied: Proxied) -> None:
    with httpx.Client(base_url=proxied.url, timeout=30) as http:
        assert http.get(PATH, follow_redirects=True).url.path == f"{PATH}/"
        page = PageReader(http.get(f"{PATH}/").text)
        for link in [*page.all("link"), *page.all("script"), *page.all("a")]:
            address = str(link.get("href") or link.get("src"))
            if address.startswith("/"):
                assert http.get(address, follow_redirects=True).status_code == 200, address
        assert http.get(f"{PATH}/guide").headers["location"] == f"{PATH}/guide/quick-start"
        slash = http.get(f"{PATH}/kinds/")
        assert httpx.URL(slash.headers["location"]).path == f"{PATH}/kinds"
        own = {"Origin": proxied.url}
        checked = http.post(
            f"{PATH}/experiments/preview", json={"spec": {"kind": "train"}}, headers=own
        )
        assert checked.status_code == 200, "Host is passed on"
    with Client(f"{proxied.url}{PATH}", timeout=30) as client:
        made = client.submit({"spec": {"kind": "train"}, "reuse": False}).id
        began = time.monotonic()
        assert next(iter(client.events(made))).name == "experiment.submitted"
        assert time.monotonic() - began < 10, "the stream is not held back"
        proxied.api_server.finish_all_runs(made)
        assert client.import_experiment(client.export(made)).imported_from == made
