"""Each command in the documents exists, with the options that it is given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from richregime.cli import app

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^ *```(?:console|sh)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
PROGRAMS = ("richregime", "./run")
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("*/README.md"))
    if ".venv" not in path.parts
)


def commands(path: Path) -> Iterator[list[str]]:
    """The words of each command of ours in the blocks of a document, without the program."""
    for block in BLOCK.findall(path.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.partition(" #")[0].replace("$(", " ").replace(")", " ").split()
            for index, word in enumerate(words):
                if word in PROGRAMS:
                    yield words[index + 1 :]
                    break


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the words after its name."""
    found: Any = typer.main.get_command(app)
    while words and words[0] in getattr(found, "commands", ()):
        found, words = found.commands[words[0]], words[1:]
    return found, words


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_a_document_have_the_options_that_they_are_given(path: Path) -> None:
    for words in commands(path):
        if not words or words[0].startswith(("-", "&", "|", "#")):
            continue
        command, rest = resolve(words)
        assert not hasattr(command, "commands"), f"{path}: no command {' '.join(words)}"
        if command.context_settings.get("ignore_unknown_options"):
            continue  # they are another program's
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        given = {word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word)}
        assert given <= known | {"--help"}, f"{path}: {' '.join(words)}"


def test_some_commands_are_found() -> None:
    assert sum(1 for path in DOCUMENTS for _ in commands(path)) > 60
