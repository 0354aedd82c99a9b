"""The guide's example, made in a copy of the tree, is served, documented, run and tested by its existing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
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
WALKING_TESTS = (
    "tests/every_kind",
    "tests/api/test_api_offer.py",
    "tests/api/test_api_submission.py",
    "tests/api/test_api_refusals.py",
    "tests/api/test_api_edge.py::test_the_description_has_an_example_for_every_kind_and_a_problem_for_every_error",
    "tests/architecture/test_torch_free.py::test_the_engine_s_forms_and_sheets_import_with_torch_refused",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with one folder more."""
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


def test_the_tests_that_walk_all_kinds_include_it(tree: Path) -> None:
    """Among them: POSTed its example is taken, `/kinds` serves its spec and its page, it runs and is drawn."""
    chosen = f"{NAME} or has_an_example or forms_and_sheets"
    told = python(
        tree, "-m", "pytest", "-vv", "-p", "no:cacheprovider", "-k", chosen, *WALKING_TESTS
    )
    passed = re.findall(rf"::(\w+)\[.*{NAME}.*\] PASSED", told)
    assert {
        "test_the_example_runs_in_seconds_and_everything_is_drawn",
        "test_every_kind_is_described_with_its_form_its_example_and_its_page",
        "test_the_example_of_every_kind_is_taken_as_it_stands",
        "test_every_mistake_in_a_form_is_told_whatever_the_kind",
    } <= set(passed), told


def test_the_description_of_the_api_holds_its_form_and_its_example(tree: Path) -> None:
    found = yaml.safe_load(python(tree, "-m", "richregime", "openapi"))
    body = found["paths"]["/experiments"]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"][NAME]["value"]["spec"]["kind"] == NAME
    assert "WeightNormsSpec" in found["components"]["schemas"]


def test_it_is_written_as_the_rest_is(tree: Path) -> None:
    folder = f"engine/experiments/{NAME}"
    python(tree, "-m", "ruff", "check", "--no-cache", folder)
    python(tree, "-m", "ruff", "format", "--no-cache", "--check", folder)
