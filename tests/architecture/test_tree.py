"""Conventions of the source tree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("engine", "schemas", "storage", "api", "workers", "runtime", "ops", "client/richregime")
FOREIGN = re.compile(
    r"/work/|/root/|/home/\w+/|\bfile:///|pypi\.org|pythonhosted\.org|download\.pytorch\.org|--index-url|--extra-index-url",
)
"""Paths of one machine and addresses of registries: set-up must adapt to the machine it runs on."""
READS_CLOCK = re.compile(
    r"^\s*(import time\b|from time import|from datetime import|import datetime\b)", re.MULTILINE
)
READS_ENVIRONMENT = re.compile(r"os\.(getenv|environ(?!\.(setdefault|update)\())")


def tracked_files() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def python_files(*packages: str) -> list[Path]:
    return [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]


def test_no_file_names_a_folder_of_one_machine_or_a_registry() -> None:
    found = []
    for file in tracked_files():
        if file == Path(__file__) or file.suffix in {".png", ".gz", ".npz", ".woff2"}:
            continue
        text = file.read_text(encoding="utf-8", errors="ignore")
        found += [f"{file.relative_to(ROOT)}: {match.group()}" for match in FOREIGN.finditer(text)]
    assert found == []


def test_every_module_begins_with_a_docstring() -> None:
    missing = [
        str(file.relative_to(ROOT))
        for file in python_files(*PACKAGES)
        if file.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert missing == []


def test_the_engine_reads_a_clock_only_in_timing() -> None:
    reading = {
        str(file.relative_to(ROOT))
        for file in python_files("engine")
        if READS_CLOCK.search(file.read_text(encoding="utf-8"))
    }
    assert reading <= {"engine/timing.py"}


def test_the_engine_reads_no_environment() -> None:
    reading = [
        str(file.relative_to(ROOT))
        for file in python_files("engine")
        if READS_ENVIRONMENT.search(file.read_text(encoding="utf-8"))
    ]
    # one compares the environment before and after a plug-in's code, and uses no value of it; the
    # other leaves the user's settings of the C library, which change no result
    assert sorted(reading) == ["engine/models/process_state.py", "engine/process_memory.py"]


def test_nothing_is_called_utils() -> None:
    assert [
        file for file in python_files(*PACKAGES) if file.stem in {"utils", "helpers", "misc"}
    ] == []


def test_every_top_level_package_is_installed() -> None:
    """The editable install maps packages by name, and needs an `__init__.py` in each."""
    for package in PACKAGES:
        assert (ROOT / package / "__init__.py").is_file(), package


def test_every_test_file_is_collected() -> None:
    """pytest collects only files named `test_*.py`."""
    stray = [
        file
        for file in sorted((ROOT / "tests").rglob("*.py"))
        if not file.name.startswith("test_")
        and re.search(r"^(async )?def test_", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert stray == []


def test_every_exception_from_bandit_is_needed() -> None:
    excepted = [file for file in python_files(*PACKAGES) if "# nosec" in file.read_text()]
    assert excepted
    command = [sys.executable, "-m", "bandit", "--quiet", "--configfile", "pyproject.toml"]
    done = subprocess.run(
        [*command, *map(str, excepted)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.stdout == ""
