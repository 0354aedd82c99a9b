"""The example kind of docs/adding-a-kind.md works in a copy of the tree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COPIED = (
    *("engine", "schemas", "storage", "api", "runtime", "workers", "client", "ops", "migrations"),
    *("tests", "docs", "pyproject.toml", "README.md"),
)
WRITTEN_FILE = re.compile(
    r"^`(engine/experiments/[\w/.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
NAME = "weight_norms"
TESTS = (
    *(f"tests/every_kind/test_{name}.py" for name in ("every_kind", "every_plot", "no_epochs")),
    *(f"tests/api/test_{name}.py" for name in ("catalog", "guide", "openapi", "submission")),
    "tests/architecture/test_torch_free.py",
)
"""Some of those that are parametrised by kind; to collect all of them takes most of a minute"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with the folder of the example kind."""
    copy = tmp_path_factory.mktemp("tree")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, copy / name)
    written = WRITTEN_FILE.findall((ROOT / "docs" / "adding-a-kind.md").read_text(encoding="utf-8"))
    assert {Path(path).parent for path, _ in written} == {Path("engine/experiments") / NAME}
    for path, text in written:
        (copy / path).parent.mkdir(exist_ok=True)
        (copy / path).write_text(text, encoding="utf-8")
    return copy


def python(tree: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_runs_without_a_service(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps({"kind": NAME, "epochs": 1}))
    out = tmp_path / "out"
    python(
        tree,
        "-m",
        "engine",
        "run",
        str(tmp_path / "spec.json"),
        "--seeds",
        "0,1",
        "--out",
        str(out),
    )
    (point,) = json.loads((out / "result.json").read_text())["points"]
    assert all(growth["mean"] > 1 and growth["n"] == 2 for growth in point["growth"].values())
    assert (out / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_the_tests_of_every_kind_include_it(tree: Path) -> None:
    """Its example runs, is drawn and is accepted by the API; wrong fields are listed."""
    chosen = f"{NAME} or has_an_example or specs_and_results"
    options = ("-vv", "-p", "no:cacheprovider", "-m", "not slow", "-k", chosen)
    output = python(tree, "-m", "pytest", *options, *TESTS)
    passed = re.findall(rf"(tests/\w+)/\S+::(\w+)\[.*{NAME}.*\] PASSED", output)
    per_folder = Counter(folder for folder, _ in passed)
    assert per_folder["tests/every_kind"] >= 2, output
    assert per_folder["tests/api"] >= 3, output


def test_openapi_describes_its_spec_and_its_example(tree: Path) -> None:
    found = yaml.safe_load(python(tree, "-m", "richregime", "openapi"))
    body = found["paths"]["/experiments"]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"][NAME]["value"]["spec"]["kind"] == NAME
    assert "WeightNormsSpec" in found["components"]["schemas"]


def test_it_passes_the_linter(tree: Path) -> None:
    folder = f"engine/experiments/{NAME}"
    python(tree, "-m", "ruff", "check", "--no-cache", folder)
    python(tree, "-m", "ruff", "format", "--no-cache", "--check", folder)
