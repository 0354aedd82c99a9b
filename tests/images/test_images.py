"""The images: linted, built without a container engine, run unprivileged on a read-only root.

Needs root, buildah and mmdebstrap (Debian: apt-get install buildah mmdebstrap). The base image is
made of Debian's packages, so that no image is downloaded. RICHREGIME_TEST_BASE names a root file
system (tar) to use instead. The worker's image gets torch's build for the CPU, from where
PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL says; NVIDIA's base and torch's build for CUDA are then all
that differs from one for a GPU.
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


@dataclass(frozen=True)
class Builder:
    """buildah with a storage of its own, which holds the base image."""

    folder: Path

    def call(self, *arguments: object) -> str:
        storage = ("--root", self.folder / "storage", "--runroot", self.folder / "run")
        return run("buildah", *storage, "--storage-driver", "vfs", *arguments)

    def add_base(self) -> None:
        base = os.environ.get("RICHREGIME_TEST_BASE")
        if base is None:
            base = str(self.folder / "base.tar")
            run("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", base)
        blank = self.call("from", "scratch").strip()
        self.call("add", blank, base, "/")
        self.call("commit", "--rm", blank, "localhost/base")

    def build(self, name: str, *options: str) -> Image:
        """The image of `docker/<name>.Dockerfile`, from the checkout."""
        certificates = {os.environ.get("SSL_CERT_FILE")} - {None}
        shared = [f"--volume={path}:{path}:ro" for path in certificates]
        started = time.monotonic()
        file = DOCKER / f"{name}.Dockerfile"
        how = ("--isolation=chroot", "--format=docker", "--build-arg=BASE=localhost/base")
        ignored = f"--ignorefile={file}.dockerignore"
        self.call("bud", *how, *shared, *options, ignored, "-f", file, "-t", name, ROOT)
        found = self.call("inspect", "--type=image", f"localhost/{name}")
        described = json.loads(found)["Docker"]["config"]
        container = self.call("from", f"localhost/{name}").strip()
        root = Path(self.call("mount", container).strip())
        image = Image(
            root,
            described["Env"],
            described["Cmd"],
            described["Healthcheck"]["Test"][1:],
            sum(path.lstat().st_size for path in _files(root)),
        )
        assert described["User"] == f"{USER}:{USER}"
        seconds = time.monotonic() - started
        print(f"{name}: built in {seconds:.0f} s; {image.num_bytes / 1e6:.0f} MB")
        return image


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    for program in ("buildah", "mmdebstrap", "unshare"):
        assert shutil.which(program), f"{program} is needed"
    builder = Builder(tmp_path_factory.mktemp("image"))
    builder.add_base()
    yield builder
    builder.call("rm", "--all")
    shutil.rmtree(builder.folder)


@pytest.fixture(scope="module")
def image(builder: Builder) -> Image:
    return builder.build("api")


@pytest.fixture(scope="module")
def worker_image(builder: Builder) -> Image:
    """pip's own variables name where torch's build for the CPU is: an index, or a folder."""
    found = {
        name: os.environ.get(f"PIP_{name.upper()}") for name in ("find_links", "extra_index_url")
    }
    given = {name: value for name, value in found.items() if value}
    assert given, "PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL must name torch's build for the CPU"
    configuration = builder.folder / "pip.conf"
    lines = [f"{name.replace('_', '-')} = {value}\n" for name, value in given.items()]
    configuration.write_text("[global]\n" + "".join(lines))
    folders = [path for path in given.get("find_links", "").split() if Path(path).is_dir()]
    volumes = [f"{configuration}:/etc/pip.conf", *(f"{path}:{path}" for path in folders)]
    return builder.build("worker", *(f"--volume={volume}:ro" for volume in volumes))


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
    key = create_key(image, data)
    port = free_port()
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


def test_a_worker_of_its_image_registers_and_computes(
    worker_image: Image, data: Path, tmp_path: Path
) -> None:
    code = "import torch; print(torch.version.cuda, torch.cuda.is_available())"
    assert worker_image.run(data, "python", "-c", code) == (0, "None False\n")
    key = create_key(worker_image, data)
    port = free_port()
    command = [*worker_image.command[:-1], "/data/seen"]  # its own /tmp is not seen from here
    with (
        (tmp_path / "api.log").open("w") as api_output,
        (tmp_path / "worker.log").open("w") as worker_output,
        valkey(tmp_path) as broker,
        worker_image.running(
            data,
            api_output,
            *("python", "-m", "api.app"),
            RICHREGIME_PORT=port,
            RICHREGIME_BROKER_URL=broker,
        ) as api,
        worker_image.running(data, worker_output, *command, RICHREGIME_BROKER_URL=broker) as worker,
    ):
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=300,
        )
        wait_until(lambda: responds(client), 300, api)
        wait_until(lambda: client.get("/workers").json()["items"], 300, worker)
        (registered,) = client.get("/workers").json()["items"]
        assert registered["device_class"] == "cpu"
        wait_until((data / "seen").exists, 60, worker)
        experiment = f"/experiments/{client.post('/experiments', json=BODY).json()['id']}"
        wait_until(lambda: client.get(experiment).json()["terminal"], 600, worker)
        assert client.get(experiment).json()["status"] == "succeeded"


def create_key(image: Image, data: Path) -> str:
    """The database is made too; lines of other news may stand before the key."""
    command = ("richregime", "keys", "create", "--owner", "ada", "--scope", "admin")
    exit_code, output = image.run(data, *command)
    assert exit_code == 0, output
    return next(word for word in output.split() if word.startswith("rrk_"))


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """A broker that listens on the loopback; yields its URL."""
    from ops.broker import find_server

    port = free_port()
    command = [find_server(), "--port", port, "--bind", "127.0.0.1", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(timeout=60)


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
