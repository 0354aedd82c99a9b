"""Conventions of the tree that a reader relies on."""

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
"""Paths of one machine and addresses of registries: set-up must follow the machine it runs on."""
LOOKS_AT_CLOCK = re.compile(
    r"^\s*(import time\b|from time import|from datetime import|import datetime\b)", re.MULTILINE
)
READS_ENVIRONMENT = re.compile(r"os\.(getenv|environ(?!\.setdefault))")


def tracked_files() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def python_files(*packages: str) -> list[Path]:
    return [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]


def test_no_file_names_a_machine_s_folder_or_a_registry() -> None:
    found = []
    for file in tracked_files():
        if file == Path(__file__) or file.suffix in {".png", ".gz", ".npz", ".woff2"}:
            continue
        text = file.read_text(encoding="utf-8", errors="ignore")
        found += [f"{file.relative_to(ROOT)}: {match.group()}" for match in FOREIGN.finditer(text)]
    assert found == []


def test_every_module_says_in_its_first_line_why_it_exists() -> None:
    silent = [
        str(file.relative_to(ROOT))
        for file in python_files(*PACKAGES)
        if file.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_the_engine_looks_at_a_clock_only_in_timing() -> None:
    looking = {
        str(file.relative_to(ROOT))
        for file in python_files("engine")
        if LOOKS_AT_CLOCK.search(file.read_text(encoding="utf-8"))
    }
    assert looking <= {"engine/timing.py"}


def test_the_engine_reads_no_environment() -> None:
    reading = [
        str(file.relative_to(ROOT))
        for file in python_files("engine")
        if READS_ENVIRONMENT.search(file.read_text(encoding="utf-8"))
    ]
    assert reading == []


def test_nothing_is_called_utils() -> None:
    assert [
        file for file in python_files(*PACKAGES) if file.stem in {"utils", "helpers", "misc"}
    ] == []


def test_every_top_level_package_is_installed() -> None:
    """The editable install maps packages by name: one that is missing there is missing in the command."""
    for package in PACKAGES:
        assert (ROOT / package / "__init__.py").is_file(), package


def test_no_test_is_quietly_left_out() -> None:
    """A file under tests/ that pytest does not collect would look tested."""
    stray = [
        file
        for file in sorted((ROOT / "tests").rglob("*.py"))
        if not file.name.startswith("test_")
        and re.search(r"^(async )?def test_", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert stray == []


def test_every_exception_to_the_search_for_unsafe_code_is_needed() -> None:
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
