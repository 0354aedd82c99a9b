"""One word for each concept: retired words are refused, and prose keeps to 100 columns."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".md", ".html", ".js", ".css", ".yaml", ".ipynb", ".toml", ".sh", ".mako"}
COMMANDS = {"run", "test"}
GENERATED_LINES = (
    "docs/paper-map.md",
    "docs/paper-experiments.md",
    "docs/regime.md",
    "docs/figures/",
    "docs/reference/known-answers.md",
    "docs/reference/performance.md",
)
"""Pages and folders that programs write, one fact a line, however long it is"""
MAX_COLUMNS = 100

RETIRED = re.compile(
    r"(?<![a-z])(rooms?|bells?|rings?|ringing|rung|rang|doorbells?|sheets?|forms?|archives?|archived"
    r"|telephones?|technicians?|front[ _-]desk)(?![a-z])"
)
"""The glossary has the words that replace them: kind, wake-up, result, spec, storage."""
CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
ALLOWED = re.compile(
    r"(?:html|login|submission|web|page's) forms?|forms? (?:field|data|element|entry)s?"
    r"|</?form\b|\bform=\"|form-action|\b[a-z]+-form\b|form-(?:urlencoded|data)?"
    r"|of the form \S+=|short forms?"
    r"|(?:style|spread) ?sheets?"
    r"|zip archives?|open archive"
    r"|terminal bell|terminal's bell"
    r"|(?:no|make|makes|leave|leaves|little|enough) room|room (?:for|on|in)\b"
)
"""Plain English uses of the same words."""
ARCHIVES_ALLOWED = re.compile(r"zip|/import|export", re.IGNORECASE)
"""A file that handles zip files, such as an export, may call one an archive."""
PAGE_CODE = re.compile(r"\.js$|^api/web/pages/|^tests/api/test_pages|^tests/browser/")
OLD_COLUMNS = re.compile(r"rung_at|form_digest")
"""Names in the schema before migration 0013."""


def tracked_texts() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in done.stdout.splitlines()]
    return [
        path
        for path in paths
        if path.is_file()
        and path != Path(__file__)
        and (path.suffix in SUFFIXES or str(path.relative_to(ROOT)) in COMMANDS)
    ]


def find_retired(text: str, path: str = "") -> Iterator[tuple[int, str]]:
    """(line number, word) of each retired word. Code of the pages may speak of HTML forms."""
    is_page, is_migration = PAGE_CODE.search(path) is not None, "migration" in path
    may_say_archive = ARCHIVES_ALLOWED.search(text) is not None
    for number, line in enumerate(text.splitlines(), 1):
        line = OLD_COLUMNS.sub("", line) if is_migration else line
        plain = ALLOWED.sub("", CAMEL_CASE.sub(" ", line).lower().replace("_", " "))
        for match in RETIRED.finditer(plain):
            word = match[0]
            if word.startswith("archive") and may_say_archive:
                continue
            if word.startswith("form") and is_page:
                continue
            yield number, word


def test_no_file_uses_a_retired_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in tracked_texts()
        for number, word in find_retired(
            path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
        )
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "the sheets of each room are put into the archive",
        "a bell is rung",
        "def test_a_form_is_refused() -> None:",
        "class SeedSheet(BaseModel):",
        "the API is the front desk",
    ],
)
def test_the_check_finds_retired_words(line: str) -> None:
    assert list(find_retired(line))


@pytest.mark.parametrize(
    "line",
    [
        '<form class="fields" method="post" action="/login">',
        '<link rel="stylesheet" href="/assets/page.css">',
        "platform, information, formed, worksheets, strings",
        "Write the terminal bell when the experiment ends.",
        "with zipfile.ZipFile(path) as archive:",
        "make room on the disk",
    ],
)
def test_the_check_allows_plain_english(line: str) -> None:
    assert list(find_retired(line)) == []


def test_prose_of_documents_has_at_most_100_columns() -> None:
    """Tables, code blocks and lines with a link may be longer."""
    found = []
    for path in tracked_texts():
        name = str(path.relative_to(ROOT))
        if path.suffix != ".md" or name.startswith(GENERATED_LINES):
            continue
        in_code = False
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            in_code ^= line.startswith("```")
            is_free = in_code or line.startswith("|") or "](" in line or "http" in line
            if len(line) > MAX_COLUMNS and not is_free:
                found.append(f"{name}:{number}: {len(line)} columns")
    assert found == []
