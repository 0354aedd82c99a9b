"""What is sent for an import: a file as it is, a folder as a zip archive, a set of torchvision.

The service converts all of them, so nothing here needs numpy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict

from richregime.errors import InvalidArgument

MAX_FILES = 200_000
"""Files in a folder; the service takes no more"""
CONVERTER = "engine.data.importing.torchvision_sets"
"""The module that reads torchvision's files, where the service is installed"""


class ImportChoices(TypedDict, total=False):
    """What may be chosen about an import; None is the default."""

    title: str | None
    label: str | None
    test_share: float | None
    seed: int | None
    side: int | None
    colour: str | None
    replace: bool
    folder: str | Path | None
    download: bool


def prepare_import(path: Path, choices: ImportChoices) -> tuple[bytes, dict[str, Any]]:
    """The bytes to send for `path`, and the query parameters. Raises InvalidArgument."""
    sent: dict[str, Any] = dict(choices)
    folder, download = sent.pop("folder", None), sent.pop("download", False)
    sent["replace"] = "true" if sent.get("replace") else None
    root = None if folder is None else Path(folder)
    data, sent["file"] = read_import(path, folder=root, download=download)
    return data, sent


def read_import(
    path: Path, *, folder: Path | None = None, download: bool = False
) -> tuple[bytes, str]:
    """The bytes to send for `path`, and the name to send with them.

    path: a file, a folder, or the name of a set of torchvision, which is read from `folder`. Raises
    InvalidArgument.
    """
    if path.is_file():
        return path.read_bytes(), path.name
    with TemporaryDirectory(prefix="richregime-import-") as scratch:
        made = Path(scratch, "made")
        if path.is_dir():
            _pack(path, made)
            return made.read_bytes(), path.resolve().name
        if len(path.parts) == 1 and not path.suffix:
            _convert_set(str(path), made, folder, download)
            return made.read_bytes(), f"{path}.npz"
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


def _convert_set(name: str, made: Path, folder: Path | None, download: bool) -> None:
    """Convert a set of torchvision in a process of its own, which loads torch."""
    if find_spec(CONVERTER.partition(".")[0]) is None:
        raise InvalidArgument(
            f"there is no file or folder {name!r}; the sets of torchvision are imported by name "
            "where the service is installed"
        )
    root = folder or Path.home() / ".richregime" / "data"
    command = [sys.executable, "-m", CONVERTER, name, str(made), "--root", str(root)]
    done = subprocess.run(  # noqa: S603 - no shell  # nosec B603
        [*command, *(["--download"] if download else [])],
        stderr=subprocess.PIPE,
        stdout=sys.stderr,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise InvalidArgument(done.stderr.strip() or f"the conversion of {name} failed")
