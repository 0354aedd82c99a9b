"""Commands on terminals that cannot show every character."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from richregime import Client
from richregime.terminal import REPLACEMENTS

pytestmark = pytest.mark.xdist_group("client")

NAME = "Größe → ∞ 😀"
TERMINALS = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp437": {"PYTHONIOENCODING": "cp437"},
    "utf-16": {"PYTHONIOENCODING": "utf-16"},
    "C": {"LC_ALL": "C"},
    "C without UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX without UTF-8": {"LANG": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


def run(terminal: str, *arguments: str | bytes, folder: Path | None = None) -> bytes:
    """Standard output; the command must end with 0 and print no traceback."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "richregime", *arguments],
        cwd=folder,
        env={**own, "PYTHONPATH": str(Path(__file__).parents[2]), **TERMINALS[terminal]},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"Traceback" not in done.stderr + done.stdout, done.stderr
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def experiment(live_url: str) -> str:
    """An experiment whose name has characters that few terminals can show."""
    with Client(live_url) as client:
        submitted = client.submit(
            {"kind": "train"}, name=NAME, seeds=[0, 1], labels={"→": "±"}, reuse=False
        )
        client.cancel(submitted.id)
        return submitted.id


@pytest.mark.parametrize("terminal", TERMINALS)
def test_no_command_ends_by_a_character(terminal: str, live_url: str, experiment: str) -> None:
    for words in (["list"], ["show", experiment], ["preset", "list"], ["kinds", "train"]):
        assert run(terminal, *words, "--url", live_url)
    for words in ([], ["submit"], ["doctor"], ["keys"]):
        assert run(terminal, *words, "--help")
    assert run(terminal, "submit", "--kind", "train", "--dry-run", "--url", live_url)


@pytest.mark.parametrize("terminal", [name for name in TERMINALS if name != "utf-16"])
def test_json_is_the_same_on_every_terminal(terminal: str, live_url: str, experiment: str) -> None:
    shown = json.loads(run(terminal, "show", experiment, "--json", "--url", live_url))
    assert (shown["name"], shown["labels"]) == (NAME, {"→": "±"})


def test_characters_of_the_commands_are_replaced_by_similar_ones(live_url: str) -> None:
    listed = run("ascii", "dataset", "list", "--url", live_url).decode("ascii")
    assert "1x28x28" in listed
    assert all(text.isascii() for text in REPLACEMENTS.values())


@pytest.mark.parametrize("terminal", ["latin-1", "C"])
def test_a_path_with_invalid_bytes_is_printed(
    terminal: str, live_url: str, experiment: str, tmp_path: Path
) -> None:
    words: list[str | bytes] = ["export", experiment, "--url", live_url, "--out"]
    printed = run(terminal, *words, b"tables-\xff-\xe2\x86\x92.zip", folder=tmp_path)
    assert printed.startswith(b"tables-")
    assert (tmp_path / os.fsdecode(b"tables-\xff-\xe2\x86\x92.zip")).is_file()


def test_the_engine_prints_on_an_ascii_terminal_for_a_user_without_a_home(tmp_path: Path) -> None:
    """Also its `±`; data sets that are made need no folder of data sets, but one must be named."""
    model = {"name": "relu_net", "width": 5}
    file = tmp_path / "spec.json"
    file.write_text(
        json.dumps({"kind": "train", "epochs": 1, "data": {"name": "synthetic"}, "model": model})
    )
    nobody = "import pwd\ndef getpwuid(uid): raise KeyError(uid)\npwd.getpwuid = getpwuid\n"
    (tmp_path / "sitecustomize.py").write_text(nobody)
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    command = [sys.executable, "-m", "engine", "run", str(file), "--seeds", "0,1", "--out", "out"]

    def engine(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env={
                **environment,
                "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}",
                "PYTHONIOENCODING": "ascii",
            },
            capture_output=True,
            timeout=120,
            check=False,
        )

    refused = engine()
    assert refused.returncode == 1
    assert b"EngineError: this user has no home folder: name one by --data-dir" in refused.stderr
    assert b"Traceback" not in refused.stderr
    done = engine("--data-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert b"test accuracy" in done.stdout
    assert b"\\xb1" in done.stdout
