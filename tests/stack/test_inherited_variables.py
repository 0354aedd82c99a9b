"""Variables that a parent process left behind reach no process of the service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from richregime import Client
from runtime.environment import list_leftovers, remove_leftovers, without_leftovers
from tests.stack.process_tree import BODY, Tree

ROOT = Path(__file__).parents[2]
NOTEBOOK = "module://matplotlib_inline.backend_inline"
HOSTILE = {
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_READ_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_WRITE_URL": "redis://127.0.0.1:1/0",
    "CELERY_CONFIG_MODULE": "no_such_module",
    "CELERY_LOADER": "no.such:Loader",
    "CELERY_CUSTOM_WORKER_POOL": "no.such:Pool",
    "CELERY_LOG_FILE": "/no/such/folder/log",
    "FORKED_BY_MULTIPROCESSING": "1",
    "WEB_CONCURRENCY": "4",
    "UVICORN_PORT": "1",
    "PROMETHEUS_MULTIPROC_DIR": "/no/such/folder",
    "PSYCOPG_IMPL": "c",
    "MPLBACKEND": NOTEBOOK,
    "MATPLOTLIBRC": "/no/such/file",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "CUBLAS_WORKSPACE_CONFIG": ":0:0",
    "CUDA_LAUNCH_BLOCKING": "1",
    "NVIDIA_TF32_OVERRIDE": "1",
    "OMP_PROC_BIND": "true",
    "SSLKEYLOGFILE": "/no/such/folder/keys",
}
KEPT = {
    "CUDA_VISIBLE_DEVICES": "0",
    "FORWARDED_ALLOW_IPS": "10.0.0.1",
    "HTTPS_PROXY": "http://proxy",
    "OMP_NUM_THREADS": "2",
    "OTEL_SERVICE_NAME": "mine",
    "PATH": "/bin",
    "PGPASSFILE": "/file",
    "PYTHONPATH": "/folder",
    "RICHREGIME_HOME": "/home",
    "SSL_CERT_FILE": "/file",
}


def test_the_ignored_variables_are_those_of_libraries_and_no_others() -> None:
    assert list_leftovers(HOSTILE | KEPT) == sorted(HOSTILE)
    assert without_leftovers(HOSTILE | KEPT) == KEPT
    environment = HOSTILE | KEPT
    remove_leftovers(environment)
    assert environment == KEPT


def test_a_service_computes_and_draws_in_a_hostile_environment(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "home", {**os.environ, **HOSTILE})
    try:
        with Client(tree.url) as client:
            ended = client.wait(client.submit(BODY).id, timeout=120)
            assert ended.status == "succeeded"
            assert client.plot(ended.id, "learning_curve", "png").startswith(b"\x89PNG")
        for pid in tree.processes():
            environment = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
            assert list_leftovers(line.partition("=")[0] for line in environment) == [], pid
        assert "these environment variables are ignored: CELERY_BROKER_READ_URL" in (
            tree.log.read_text()
        )
    finally:
        tree.close()


@pytest.mark.parametrize("backend", [NOTEBOOK, "nonsense"])
def test_the_engine_draws_with_the_backend_and_style_of_another_program(
    tmp_path: Path, backend: str
) -> None:
    """The picture equals the one that a plain environment gives."""
    (tmp_path / "matplotlibrc").write_text("savefig.bbox: tight\nfont.size: 30\nfigure.dpi: 30\n")
    code = (
        "import sys; from engine.plotting import *\n"
        "options = PlotOptions()\n"
        "with drawing(): figure = draw_message(options, 'text')\n"
        "sys.stdout.buffer.write(save(figure, 'png', options))\n"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith("MPL")}
    drawn = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**own, "PYTHONPATH": str(ROOT), **variables},
            capture_output=True,
            check=True,
        ).stdout
        for folder, variables in (
            (ROOT, {}),
            (tmp_path, {"MPLBACKEND": backend, "MATPLOTLIBRC": str(tmp_path)}),
        )
    ]
    assert drawn[0].startswith(b"\x89PNG")
    assert drawn[0] == drawn[1]
