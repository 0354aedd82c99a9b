"""Generated documents match the code; links, paths and names in all documents exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from api.web.guide import list_pages
from engine.experiments.registry import kinds
from ops.documents import GENERATED
from richregime.cli import app
from runtime.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PATH = re.compile(
    r"`((?:api|benchmarks|client|docker|docs|engine|examples|migrations|ops|runtime|schemas|storage"
    r"|tests|workers)/[\w./*-]*)`"
)
EXAMPLE_KIND = "weight_norms"
"""The kind that docs/adding-a-kind.md has the reader write"""
CODE = re.compile(r"^```\w*\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s(])(?:\./run|richregime) ([a-z]+)\b(?!:)")
VARIABLE = re.compile(r"RICHREGIME_[A-Z_]*[A-Z]")
OTHER_VARIABLES = {
    *("RICHREGIME_URL", "RICHREGIME_KEY", "RICHREGIME_EXPERIMENT", "RICHREGIME_STATUS"),
    *("RICHREGIME_SOAK_SEED", "RICHREGIME_FUZZ_SECONDS"),
    *("RICHREGIME_HOSTILE_EXAMPLES", "RICHREGIME_HOSTILE_SECONDS"),
    *("RICHREGIME_DB_PASSWORD", "RICHREGIME_BLOB_PASSWORD"),
    "RICHREGIME_WEBHOOK",  # as `RICHREGIME_WEBHOOK_*`
}
"""Variables of the client, the tests and the compose file"""
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


def command_names() -> list[str]:
    return list(getattr(typer.main.get_command(app), "commands", {}))


@pytest.mark.parametrize("path", GENERATED)
def test_generated_documents_are_current(path: str) -> None:
    written = (ROOT / path).read_text(encoding="utf-8")
    assert written == GENERATED[path](), "run `python -m ops.documents`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_points_to_a_file(document: Path) -> None:
    targets = LINK.findall(document.read_text(encoding="utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_of_the_repository_that_a_document_names_exists(document: Path) -> None:
    paths = PATH.findall(document.read_text(encoding="utf-8"))
    missing = [path for path in paths if not [*ROOT.glob(path.rstrip("/"))]]
    assert [path for path in missing if EXAMPLE_KIND not in path] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_variable_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    code = "\n".join(block or span for block, span in CODE.findall(text))
    assert set(COMMAND.findall(code)) <= set(command_names())
    settings = {f"RICHREGIME_{name.upper()}" for name in Settings.model_fields}
    assert set(VARIABLE.findall(text)) <= settings | OTHER_VARIABLES


def test_the_guide_lists_every_document() -> None:
    listed = {page.document for page in list_pages()}
    assert {
        str(path.relative_to(ROOT / "docs"))[:-3] for path in (ROOT / "docs").rglob("*.md")
    } <= listed


def test_the_readme_lists_every_kind() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert named == set(kinds())
