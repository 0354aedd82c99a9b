"""What is sent for an import: a file as it is, a folder as a zip archive, a set by its name.

The service converts all of them, so nothing here needs numpy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypedDict

from richregime.errors import InvalidArgument

MAX_FILES = 200_000
"""Files in a folder; the service takes no more"""
HUB = "hf:"
CONVERTER = "ops.convert_set"
"""The module that reads sets by their names, where the service is installed"""
CONVERTED_HERE = ("image", "config", "split_train", "split_test")
"""Choices that the service does not take"""
HUB_CHOICES = (*CONVERTED_HERE, "label", "test_share", "seed", "side", "colour")
MAX_NOTES = 20
MAX_NOTE = 300
"""The service takes no more notes, and no longer ones"""


class ImportChoices(TypedDict, total=False):
    """What may be chosen about an import; None is the default."""

    title: str | None
    label: str | None
    test_share: float | None
    seed: int | None
    side: int | None
    colour: str | None
    replace: bool
    image: str | None
    config: str | None
    split_train: str | None
    split_test: str | None
    folder: str | Path | None
    download: bool


class Prepared(NamedTuple):
    """What is sent."""

    data: bytes
    file_name: str
    notes: Sequence[str] = ()
    """What was left out or changed before it is sent"""


def prepare_import(path: Path, choices: ImportChoices) -> tuple[bytes, dict[str, Any]]:
    """The bytes to send for `path`, and the query parameters. Raises InvalidArgument."""
    given = {name: value for name, value in choices.items() if value is not None}
    prepared = read_import(path, choices)
    for name in (*CONVERTED_HERE, "folder", "download"):
        given.pop(name, None)
    if not given.pop("replace", False):
        return prepared.data, {**given, **_describe(prepared)}
    return prepared.data, {**given, **_describe(prepared), "replace": "true"}


def _describe(prepared: Prepared) -> dict[str, Any]:
    notes = [note[:MAX_NOTE] for note in prepared.notes[:MAX_NOTES]]
    return {"file": prepared.file_name, "note": notes}


def read_import(path: Path, choices: ImportChoices | None = None) -> Prepared:
    """What to send for `path`: a file, a folder, or the name of a set.

    The set is one of torchvision, or `hf:OWNER/NAME` of the Hugging Face hub. Raises
    InvalidArgument.
    """
    choices = choices or {}
    name = str(path)
    is_hub_set = name.startswith(HUB)
    unused = [choice for choice in CONVERTED_HERE if choices.get(choice) is not None]
    if unused and not is_hub_set:
        raise InvalidArgument(f"{unused[0]!r} is for sets of the Hugging Face hub: hf:OWNER/NAME")
    if path.is_file():
        return Prepared(path.read_bytes(), path.name)
    with TemporaryDirectory(prefix="richregime-import-") as scratch:
        made = Path(scratch, "made")
        if path.is_dir():
            _pack(path, made)
            return Prepared(made.read_bytes(), path.resolve().name)
        if is_hub_set or (len(path.parts) == 1 and not path.suffix):
            notes = _convert_set(name, made, choices)
            return Prepared(made.read_bytes(), f"{path.name}.npz", notes)
    raise InvalidArgument(f"the file {path} does not exist")


def _pack(folder: Path, made: Path) -> None:
    """Pack the files below a folder, without hidden ones; equal folders give equal files."""
    files = sorted(_list_files(folder))
    if not files:
        raise InvalidArgument(f"the folder {folder} holds no file")
    with zipfile.ZipFile(made, "w") as packed:
        for name in files:
            packed.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes())


def _list_files(folder: Path) -> list[str]:
    """Paths relative to the folder. They are counted before any is read."""
    found: list[str] = []
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(here).relative_to(folder)
        found += [(inside / name).as_posix() for name in names if not name.startswith(".")]
        if len(found) > MAX_FILES:
            raise InvalidArgument(
                f"the folder {folder} holds more than {MAX_FILES:,} files; import fewer"
            )
    return found


def _convert_set(name: str, made: Path, choices: ImportChoices) -> list[str]:
    """Convert a set in a process of its own, which loads torch; returns its notes."""
    if find_spec(CONVERTER.partition(".")[0]) is None:
        raise InvalidArgument(
            f"there is no file or folder {name!r}; the sets of torchvision and of the Hugging Face "
            "hub are imported by name where the service is installed"
        )
    notes = made.with_suffix(".json")
    command = [sys.executable, "-m", CONVERTER, name, str(made), "--notes", str(notes)]
    if (folder := choices.get("folder")) is not None:
        command.append(f"--root={folder}")
    if choices.get("download"):
        command.append("--download")
    if name.startswith(HUB):
        given: Mapping[str, object] = {**choices}
        command += [
            f"--{choice.replace('_', '-')}={given[choice]}"
            for choice in HUB_CHOICES
            if given.get(choice) is not None
        ]
    done = subprocess.run(  # noqa: S603 - no shell  # nosec B603
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, check=False
    )
    if done.returncode != 0:
        raise InvalidArgument(done.stderr.strip() or f"the conversion of {name} failed")
    found: list[str] = json.loads(notes.read_text())
    return found
