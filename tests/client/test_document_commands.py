"""The commands of the how-to pages run as written, where the reader stands: in a checkout."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests.faults.api_process import run_api
from tests.postgres import new_database

# The commands of one page follow each other: a backup is restored, a key revoked.
pytestmark = pytest.mark.xdist_group("document_commands")

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^( *)```(?:console|sh)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
ENDLESS = {"worker", "up"}
"""Commands that end with the service; `tests/stack` and `tests/workers` start them"""
PLACEHOLDERS = {
    "rrk_18a3f0c2b4d9f0a1b2c3d4": "{key}",
    "exp_18a3f0c2b4d9f0a1b2c3d4": "exp_none",
    "NAME": "ada",
    "postgresql://richregime@db.lab/richregime": "{postgres}",
    "~/": "{folder}/",
}


def commands(document: str) -> list[list[str]]:
    """The arguments of each `./run` in the blocks of a page, in its order."""
    text = (ROOT / "docs" / "how-to" / f"{document}.md").read_text(encoding="utf-8")
    lines = [line.strip() for _, block in BLOCK.findall(text) for line in block.splitlines()]
    found = [shlex.split(line, comments=True) for line in lines if "./run" in line]
    return [words[words.index("./run") + 1 :] for words in found if "./run" in words]


def all_commands() -> Iterator[tuple[str, list[str]]]:
    for path in sorted((ROOT / "docs" / "how-to").glob("*.md")):
        for words in commands(path.stem):
            yield path.stem, words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def postgres(postgres_server: str) -> Iterator[str]:
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def key(folder: Path) -> str:
    """The id of a key in the reader's home."""
    made = run(["keys", "create", "--owner", "eve"], folder)
    found = re.search(r"rrk_[0-9a-f]{22}", made)
    assert found is not None, made
    return found[0]


@pytest.fixture(scope="module")
def service(folder: Path, key: str) -> Iterator[dict[str, str]]:
    """The variables of a reader who administers the running service."""
    made = run(["keys", "create", "--owner", "admin", "--scope", "admin"], folder)
    secret = next(word for word in made.split() if word.startswith("rrk_") and word != key)
    with run_api(folder / ".richregime") as api:
        yield {"RICHREGIME_URL": api.url, "RICHREGIME_KEY": secret}


def environment(folder: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if "RICHREGIME" not in name}
    return {**own, "RICHREGIME_HOME": str(folder / ".richregime"), "PYTHONPATH": str(ROOT)}


def run(words: list[str], folder: Path, **variables: str) -> str:
    """Standard output of the command; it must end with 0, or with 1 or 2 for findings of doctor."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "richregime", *words],
        cwd=folder,
        env={**environment(folder), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    allowed = (0, 1, 2) if words[0] == "doctor" else (0,)
    assert done.returncode in allowed, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(
    ("document", "words"),
    list(all_commands()),
    ids=lambda one: one if isinstance(one, str) else " ".join(one),
)
def test_a_command_of_a_page_runs(
    document: str,
    words: list[str],
    folder: Path,
    key: str,
    postgres: str,
    service: dict[str, str],
) -> None:
    if not words or words[0] in ENDLESS or words[0].startswith("--"):
        pytest.skip("serves until it is stopped; other tests start it")
    values = {"key": key, "postgres": postgres, "folder": str(folder)}
    filled = []
    for word in words:
        for placeholder, value in PLACEHOLDERS.items():
            word = word.replace(placeholder, value.format(**values))
        filled.append(word)
    run(filled, folder, **service)


def test_the_unit_of_the_page_starts_the_checkout_and_stops_its_first_process() -> None:
    text = (ROOT / "docs" / "how-to" / "install.md").read_text(encoding="utf-8")
    unit = RawConfigParser()
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text.split("```ini\n", 1)[1].split("```", 1)[0])
    assert unit["Service"]["ExecStart"] == "%h/richregime/run"
    assert unit["Service"]["KillMode"] == "mixed"
    from ops.up import DRAIN_SECONDS

    assert float(unit["Service"]["TimeoutStopSec"]) > DRAIN_SECONDS + 10


def test_a_restored_home_is_served(folder: Path, key: str) -> None:
    """`./run restore`, then `./run --home` on it, as on the page."""
    run(["backup", f"{folder}/served-backup"], folder)
    run(["restore", f"{folder}/served-backup", "--home", f"{folder}/served"], folder)
    with run_api(folder / "served") as api:
        assert api.http.get("/experiments").status_code == 401, "its keys are restored too"
