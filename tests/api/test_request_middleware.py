"""Who is answered, with which headers, and that no error is ever without a problem."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.app import main
from api.http.openapi import openapi_yaml
from engine.experiments.registry import kinds
from tests.api.api_server import ApiServer

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = """
import asyncio, sys
from importlib.abc import MetaPathFinder
from pathlib import Path

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "matplotlib"}:
            raise ImportError(f"{name} is refused")

sys.meta_path.insert(0, Refuse())
import httpx
from api.app import create_app
from engine.experiments.registry import kinds
from runtime.settings import Settings

async def serve():
    app = create_app(Settings(home=Path(sys.argv[1]), database_url=None, broker_url=None))
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        for kind in kinds().values():
            for path in ("/experiments/preview", "/experiments"):
                response = await http.post(path, json=dict(kind.example))
                assert response.is_success, response.text
        for path in ("/", f"/view/{response.json()['id']}", "/models", "/presets", "/openapi.json"):
            assert (await http.get(path)).is_success, path

asyncio.run(serve())
"""


def test_the_api_serves_every_kind_without_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "host",
    ["example.org", "example.org:8000", "10.0.0.1", "127.0.0.1.example.org", "[2001:db8::1]:80"],
)
def test_a_name_that_is_not_this_machine_s_is_not_answered(
    api_server: ApiServer, host: str
) -> None:
    response = api_server.http.get("/healthz", headers={"Host": host})
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:8000", "127.1.2.3"]
)
def test_this_machine_s_own_names_are_answered(api_server: ApiServer, host: str) -> None:
    assert api_server.http.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://example.org"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_another_site_s_page_changes_nothing(
    api_server: ApiServer, headers: dict[str, str]
) -> None:
    before = api_server.count_experiments()
    response = api_server.http.post(
        "/experiments", json={"spec": {"kind": "train"}, "reuse": False}, headers=headers
    )
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert api_server.count_experiments() == before
    assert "access-control-allow-origin" not in response.headers


def test_the_service_s_own_page_may_submit(api_server: ApiServer) -> None:
    for headers in (
        {"Origin": str(api_server.http.base_url).rstrip("/")},
        {"Sec-Fetch-Site": "same-origin"},
    ):
        response = api_server.http.post(
            "/experiments/preview", json={"spec": {"kind": "train"}}, headers=headers
        )
        assert response.status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/nothing", "/experiments?limit=0", "/docs", "/assets/page.css"]
)
def test_every_answer_carries_the_security_headers(api_server: ApiServer, path: str) -> None:
    headers = api_server.http.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert len(headers["X-Request-Id"]) == 16
    assert "server" not in headers or "uvicorn" in headers["server"]


def test_a_fault_of_ours_is_a_problem_without_its_secrets(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the secret")

    monkeypatch.setattr("api.routes.service.queue_state", fail)
    response = api_server.http.get("/queue")
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["X-Request-Id"]
    assert "secret" not in response.text
    assert "Traceback" not in response.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_the_api_does_not_listen_where_others_reach_it(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RICHREGIME_HOME", str(tmp_path))
    assert main(["--host", host]) == 2
    told = capsys.readouterr().err
    assert "richregime keys create" in told
    assert "RICHREGIME_ALLOW_PUBLIC" in told


def test_the_written_description_is_fresh() -> None:
    written = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
    assert written == openapi_yaml(), "run `python -m api.http.openapi > openapi.yaml`"


def test_the_description_has_an_example_for_every_kind_and_a_problem_for_every_error(
    api_server: ApiServer,
) -> None:
    description = api_server.get("/openapi.json")
    post = description["paths"]["/experiments"]["post"]
    content = post["requestBody"]["content"]["application/json"]
    assert {name: example["value"] for name, example in content["examples"].items()} == {
        name: kind.example for name, kind in kinds().items()
    }
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert "application/problem+json" in operation["responses"]["4XX"]["content"], (
                method,
                path,
            )
            assert operation.get("description") or operation.get("summary"), (method, path)


def test_swagger_and_the_page_need_no_other_machine(api_server: ApiServer) -> None:
    experiment = api_server.submit({"spec": {"kind": "train"}, "name": "<script>alert(1)</script>"})
    for path in ("/docs", "/", f"/view/{experiment['id']}"):
        text = api_server.http.get(path).text
        assert 'src="http' not in text
        assert 'href="http' not in text
        assert "//cdn" not in text
        assert "<script>alert" not in text
    for path in (
        "/assets/page.css",
        "/assets/submit.js",
        "/assets/experiment.js",
        "/plotly.min.js",
    ):
        assert api_server.http.get(path).status_code == 200


def test_the_page_shows_an_experiment_s_result(api_server: ApiServer) -> None:
    experiment = api_server.submit(
        {"spec": {"kind": "train"}, "sweep": {"model.width": [7]}, "seeds": [0, 1], "name": "shown"}
    )
    assert "shown" in api_server.http.get("/").text
    api_server.finish_all_runs(experiment["id"])
    text = api_server.http.get(f"/view/{experiment['id']}").text
    assert "0.905 ± 0.005" in text or "0.9050 ± 0.0050" in text
    assert "learning_curve.svg" in text
