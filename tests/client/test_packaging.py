"""Both distributions, built as wheels and installed into clean environments.

pip needs a package index or a folder of wheels, as for setting up this project.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from email.parser import HeaderParser
from importlib.metadata import distributions
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("packaging")]

ROOT = Path(__file__).parents[2]
SERVICE_PACKAGES = {
    "api",
    "engine",
    "migrations",
    "ops",
    "runtime",
    "schemas",
    "storage",
    "workers",
}
HEAVY = {"torch", "torchvision", "numpy", "sqlalchemy", "sqlmodel", "celery", "kombu", "fastapi"}
MAX_DOWNLOAD_BYTES = 15_000_000
MAX_INSTALLED_BYTES = 17_500_000
"""Without bytecode. Of it, 10 MB are pydantic_core and Pygments, a dependency of rich."""
MAX_IMPORT_SECONDS = 0.25
MAX_HELP_SECONDS = 0.35
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
"""The variables of this process without PYTHONPATH, which names the checkout."""


class Environment:
    """A clean virtual environment."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.bin = folder / "bin"
        (self.site_packages,) = folder.glob("lib/python*/site-packages")
        self.initial = {path.name for path in self.site_packages.iterdir()}

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=self.bin,
            env=CLEAN,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def top_level_names(self) -> set[str]:
        """What was installed in addition to pip, without metadata and bytecode."""
        added = {path.name for path in self.site_packages.iterdir()} - self.initial
        return {name.removesuffix(".py") for name in added if not name.endswith("-info")} - {
            "__pycache__"
        }

    def installed_bytes(self) -> int:
        """Of the files of all distributions but pip's and setuptools', without bytecode."""
        return sum(
            Path(str(file.locate())).stat().st_size
            for one in distributions(path=[str(self.site_packages)])
            if one.metadata["Name"] not in ("pip", "setuptools")
            for file in one.files or []
            if file.suffix != ".pyc"
        )

    def median_seconds(self, *command: str, repeats: int = 9) -> float:
        """Processor time of the whole process; elapsed time depends on other load."""
        times = []
        for _ in range(repeats):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.run(*command)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        return statistics.median(times)


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"],
        env=CLEAN,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of both distributions, built from a copy of the checkout."""
    source = tmp_path_factory.mktemp("source") / "checkout"
    left_out = ignore_patterns(".*", "*.egg-info", "build", "dist", "docs", "tests", "benchmarks")
    copytree(ROOT, source, ignore=left_out)
    folder = tmp_path_factory.mktemp("wheels")
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source / "client"), str(source))
    return folder


@pytest.fixture(scope="module")
def client_wheel(wheels: Path) -> Path:
    (found,) = wheels.glob("richregime-*.whl")
    return found


@pytest.fixture(scope="module")
def service_wheel(wheels: Path) -> Path:
    (found,) = wheels.glob("richregime_service-*.whl")
    return found


@pytest.fixture(scope="module")
def client_alone(client_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The client with its dependencies."""
    environment = Environment(tmp_path_factory.mktemp("client_alone"))
    environment.run("python", "-m", "pip", "install", "--quiet", str(client_wheel))
    return environment


def test_the_client_installs_one_package_and_one_command(client_wheel: Path) -> None:
    assert top_level_of(client_wheel) == {"richregime"}
    assert "richregime = richregime.cli:main" in read_metadata(client_wheel, "entry_points.txt")
    with zipfile.ZipFile(client_wheel) as opened:
        assert "richregime/py.typed" in opened.namelist()


def test_the_client_requires_only_these(client_wheel: Path) -> None:
    headers = HeaderParser().parsestr(read_metadata(client_wheel, "METADATA"))
    required = [one for one in headers.get_all("Requires-Dist", []) if "extra ==" not in one]
    names = {one.partition(">")[0].strip() for one in required}
    assert names == {"httpx", "httpx-retries", "httpx-sse", "pydantic", "rich", "typer"}
    assert headers.get_all("Provides-Extra") == ["export"]


def test_the_service_wheel_holds_its_packages_and_their_data(service_wheel: Path) -> None:
    assert top_level_of(service_wheel) == SERVICE_PACKAGES
    with zipfile.ZipFile(service_wheel) as opened:
        names = opened.namelist()
    for needed in ("api/web/templates/base.html", "api/web/assets/page.css"):
        assert needed in names
    assert any(name.startswith("migrations/versions/") for name in names)


@pytest.mark.parametrize("distribution", ["client_wheel", "service_wheel"])
def test_a_distribution_describes_itself(distribution: str, request: pytest.FixtureRequest) -> None:
    headers = HeaderParser().parsestr(
        read_metadata(request.getfixturevalue(distribution), "METADATA")
    )
    assert headers["License-Expression"] == "Apache-2.0"
    assert headers["License-File"] == "LICENSE"
    assert headers["Keywords"]
    assert "Programming Language :: Python :: 3.11" in headers.get_all("Classifier", [])


def test_the_client_alone_is_light(client_alone: Environment) -> None:
    names = client_alone.top_level_names()
    assert not names & (HEAVY | SERVICE_PACKAGES)
    assert client_alone.installed_bytes() < MAX_INSTALLED_BYTES
    client_alone.run("python", "-m", "pip", "check")


def test_the_downloads_of_the_client_are_small(client_wheel: Path, tmp_path: Path) -> None:
    pip("download", "--dest", str(tmp_path), str(client_wheel))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < MAX_DOWNLOAD_BYTES


def test_the_client_alone_starts_fast(client_alone: Environment) -> None:
    client_alone.run("richregime", "--help")
    for statement in ("import richregime", "from richregime import Client"):
        assert client_alone.median_seconds("python", "-c", statement) < MAX_IMPORT_SECONDS
    assert client_alone.median_seconds("richregime", "--help") < MAX_HELP_SECONDS


def test_every_public_name_is_there_in_the_client_alone(client_alone: Environment) -> None:
    script = (
        "import json, richregime\n"
        "for name in richregime.__all__: getattr(richregime, name)\n"
        "print(json.dumps([richregime.__version__, richregime.__file__]))"
    )
    version, file = json.loads(client_alone.run("python", "-c", script))
    assert version == "0.1.0"
    assert str(client_alone.site_packages) in file


def test_the_client_alone_has_no_commands_of_the_service(client_alone: Environment) -> None:
    shown = client_alone.run("richregime", "--help")
    assert "submit" in shown
    assert "doctor" not in shown


def test_the_service_s_commands_are_listed_without_its_dependencies(
    client_alone: Environment, service_wheel: Path
) -> None:
    """Runs last: it adds the service to the environment."""
    client_alone.run("python", "-m", "pip", "install", "--quiet", "--no-deps", str(service_wheel))
    shown = client_alone.run("richregime", "--help")
    for name in ("up", "demo", "worker", "db", "gc", "keys", "doctor", "gallery", "openapi"):
        assert f" {name} " in shown
    assert client_alone.median_seconds("richregime", "--help") < MAX_HELP_SECONDS


def top_level_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as opened:
        folders = {name.partition("/")[0] for name in opened.namelist()}
    return {name for name in folders if not name.endswith(".dist-info")}


def read_metadata(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as opened:
        (path,) = _matching(opened.namelist(), f".dist-info/{name}")
        return opened.read(path).decode()


def _matching(names: Sequence[str], ending: str) -> list[str]:
    return [name for name in names if name.endswith(ending)]
