"""The documents say what the code does: generated ones are fresh, links lead somewhere, every kind is described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.experiments.registry import kinds
from ops.documents import GENERATED

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("path", GENERATED)
def test_generated_documents_are_current(path: str) -> None:
    written = (ROOT / path).read_text(encoding="utf-8")
    assert written == GENERATED[path](), "run `python -m ops.documents`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(document: Path) -> None:
    targets = LINK.findall(document.read_text(encoding="utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_kind_that_the_readme_names_is_there() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert named <= set(kinds())
    assert named
