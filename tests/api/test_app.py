"""The application: it needs no torch, and refuses a public address without keys."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from api.app import main

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
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
    async with app.router.lifespan_context(app), client as http:
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


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_the_api_without_keys_refuses_a_public_address(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RICHREGIME_HOME", str(tmp_path))
    assert main(["--host", host]) == 2
    printed = capsys.readouterr().err
    assert "richregime keys create" in printed
    assert "RICHREGIME_ALLOW_PUBLIC" in printed
