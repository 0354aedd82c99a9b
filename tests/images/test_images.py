"""The API's image: linted, built without a container engine, run unprivileged on a read-only root.

Needs root, buildah and mmdebstrap (Debian: apt-get install buildah mmdebstrap). The base image is
made of Debian's packages, so that no image is downloaded. RICHREGIME_TEST_BASE names a root file
system (tar) to use instead.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import httpx
import pytest

pytestmark = pytest.mark.image

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
USER = 10001
MAX_BYTES = 900 << 20
PACKAGES = "python3,python3-venv,ca-certificates"
BODY = {"spec": {"kind": "train", "epochs": 1}, "seeds": [0]}

BOOT = """
set -e
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
mount --bind "$2" "$1/data"
mount -t tmpfs tmpfs "$1/tmp"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
root=$1
shift 2
exec chroot --userspec=10001:10001 "$root" /usr/bin/env -i -C /app "$@"
"""
"""Does what a container engine does with `--read-only --user`, with mounts in a namespace of its
own."""


def run(*command: object, **options: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@dataclass(frozen=True)
class Image:
    root: Path
    environment: Sequence[str]
    command: Sequence[str]
    probe: Sequence[str]
    num_bytes: int

    @contextmanager
    def running(
        self, data: Path, output: IO[str], *command: str, **environment: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a command as a container would. output: a file, because a pipe may fill up."""
        variables = [*self.environment, *(f"{name}={value}" for name, value in environment.items())]
        arguments = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            BOOT,
            "sh",
        ]
        process = subprocess.Popen(
            [*arguments, str(self.root), str(data), *variables, *(command or self.command)],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run(self, data: Path, *command: str, **environment: str) -> tuple[int, str]:
        """Returns the exit code and the output."""
        with TemporaryFile("w+") as output:
            with self.running(data, output, *command, **environment) as process:
                process.wait(timeout=600)
            output.seek(0)
            return process.returncode, output.read()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The API's image, built from the checkout."""
    for program in ("buildah", "mmdebstrap", "unshare"):
        assert shutil.which(program), f"{program} is needed"
    folder = tmp_path_factory.mktemp("image")
    base = os.environ.get("RICHREGIME_TEST_BASE")
    if base is None:
        base = str(folder / "base.tar")
        run("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", base)
    buildah = (
        "buildah",
        "--root",
        folder / "storage",
        "--runroot",
        folder / "run",
        "--storage-driver",
        "vfs",
    )
    blank = run(*buildah, "from", "scratch").strip()
    run(*buildah, "add", blank, base, "/")
    run(*buildah, "commit", "--rm", blank, "localhost/base")
    shared = [f"--volume={path}:{path}:ro" for path in {os.environ.get("SSL_CERT_FILE")} - {None}]
    started = time.monotonic()
    file = DOCKER / "api.Dockerfile"
    options = ("--isolation=chroot", "--format=docker", "--build-arg=BASE=localhost/base", *shared)
    run(
        *buildah,
        "bud",
        *options,
        f"--ignorefile={file}.dockerignore",
        "-f",
        file,
        "-t",
        "api",
        ROOT,
    )
    described = json.loads(run(*buildah, "inspect", "--type=image", "localhost/api"))["Docker"]
    (listed,) = json.loads(run(*buildah, "images", "--json", "localhost/api"))
    container = run(*buildah, "from", "localhost/api").strip()
    image = Image(
        Path(run(*buildah, "mount", container).strip()),
        described["config"]["Env"],
        described["config"]["Cmd"],
        described["config"]["Healthcheck"]["Test"][1:],
        sum(
            path.lstat().st_size for path in _files(Path(run(*buildah, "mount", container).strip()))
        ),
    )
    assert described["config"]["User"] == f"{USER}:{USER}"
    size = f"{image.num_bytes / 1e6:.0f} MB ({listed['size']})"
    print(f"built in {time.monotonic() - started:.0f} s; {size}")
    yield image
    run(*buildah, "rm", "--all")
    shutil.rmtree(folder)


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder that is mounted as /data."""
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, USER, USER)
    for parent in folder.parents[:3]:
        parent.chmod(0o755)
    return folder


def test_the_image_has_no_torch_and_is_small(image: Image, data: Path) -> None:
    code = (
        "import importlib.util as u, api.app, pkgutil; "
        "print([n for n in ('torch', 'torchvision', 'pip', 'pytest') if u.find_spec(n)])"
    )
    assert image.run(data, "python", "-c", code) == (0, "[]\n")
    assert image.num_bytes < MAX_BYTES


def test_it_runs_unprivileged_and_can_write_only_to_data_and_tmp(image: Image, data: Path) -> None:
    script = (
        "id -u; "
        "for f in /app/x /opt/venv/x /x; do touch $f 2>&1 | grep -o 'Read-only\\|denied'; done; "
        "touch /data/x /tmp/x && echo written"
    )
    exit_code, output = image.run(data, "sh", "-c", script)
    assert (exit_code, output.split()) == (
        0,
        [str(USER), "Read-only", "Read-only", "Read-only", "written"],
    )


def test_it_refuses_to_listen_on_all_addresses_without_a_key(image: Image, data: Path) -> None:
    exit_code, output = image.run(data)
    assert exit_code == 2
    assert "refusing to listen on 0.0.0.0" in output


def test_it_starts_passes_its_health_check_and_accepts_an_experiment_for_a_worker_outside(
    image: Image, data: Path, tmp_path: Path
) -> None:
    exit_code, output = image.run(
        data, "richregime", "keys", "create", "--owner", "ada", "--scope", "admin"
    )
    assert exit_code == 0, output
    key = output.split()[0]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    log = tmp_path / "api.log"
    with (
        log.open("w") as api_output,
        image.running(data, api_output, RICHREGIME_PORT=port) as api,
    ):
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=300,
        )
        wait_until(lambda: responds(client), 300, api)
        probe = [part.replace("8000", port) for part in image.probe]
        assert image.run(data, *probe) == (0, "")
        created = client.post("/experiments", json=BODY)
        assert created.status_code == 201, created.text
        experiment = f"/experiments/{created.json()['id']}"
        assert client.get(experiment).json()["status"] == "queued"
        exit_code, output = image.run(data, "richregime", "doctor")
        assert exit_code == 2, "no broker and no worker"
        assert "no worker is listening" in output
        with worker_outside(data, tmp_path / "outside"):
            wait_until(lambda: client.get(experiment).json()["terminal"], 600, api)
        assert client.get(experiment).json()["status"] == "succeeded"
        assert client.get(f"{experiment}/plots/learning_curve.png").content.startswith(b"\x89PNG")
        assert "richregime_runs" in client.get("/metrics").text
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"request"} <= {line["message"] for line in lines}
    assert key not in log.read_text()


def responds(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def worker_outside(data: Path, home: Path) -> Iterator[None]:
    """A worker of the checkout with its own broker, on the image's database and files."""
    from ops.broker import Broker
    from runtime.settings import Settings

    broker = Broker(Settings(home=home, broker_url=None))
    broker.start()
    environment = {
        "RICHREGIME_HOME": str(home),
        "RICHREGIME_DATABASE_URL": f"sqlite:///{data}/richregime.sqlite3",
        "RICHREGIME_BLOB_DIR": f"{data}/blobs",
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "workers.entry", "--slots", "1"],
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(timeout=60)
        broker.stop()


def wait_until(condition: Any, seconds: float, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the process has ended; see its log"
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


@pytest.mark.parametrize("name", ["api.Dockerfile", "worker.Dockerfile"])
def test_hadolint_finds_nothing(name: str) -> None:
    run(Path(sys.executable).with_name("hadolint"), DOCKER / name)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_files_follow_the_specification(name: str) -> None:
    from compose_spec import PyOptions

    PyOptions(apply_merge=True).from_yaml((DOCKER / name).read_text(encoding="utf-8"))


def test_kubernetes_accepts_every_resource() -> None:
    program = Path(sys.executable).with_name("kubernetes-validate")
    run(program, "--strict", *sorted((DOCKER / "kubernetes").glob("*.yaml")))
