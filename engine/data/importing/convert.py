"""Finds out what a file is, and converts it to a data set that can be stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.data.importing.imported import Imported
from engine.data.importing.options import ImportOptions, refuse
from engine.data.npz import inspect_npz
from engine.data.spec import DatasetInfo
from engine.data.zip_archive import DAMAGE, open_archive
from engine.errors import InvalidSpec

ZIP, PARQUET = b"PK", b"PAR1"
MAX_DIRECTORY_BYTES = 64 << 20
TABLES = frozenset({".csv", ".tsv", ".txt", ".data"})


@dataclass(frozen=True, slots=True)
class Converted:
    """A data set that can be stored."""

    path: Path
    """The file itself, where it was already as it is stored, or the converted one"""
    info: DatasetInfo
    notes: tuple[str, ...]
    columns: tuple[str, ...] | None = None
    """Of a table: see `Imported`"""


def convert(path: Path, out: Path, name: str, options: ImportOptions) -> Converted:
    """Check the file and convert it, unless it is already as it is stored.

    out: where a converted data set is written. Raises InvalidSpec that names file and line; `out`
    is then not written, or holds nothing that is used.
    """
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(ZIP) and _holds_arrays(path):
        return _convert_npz(path, out, name, options)
    if head.startswith(ZIP):
        from engine.data.importing.images import read_images

        imported = read_images(path, options)
    elif head.startswith(PARQUET):
        from engine.data.importing.table import read_parquet

        imported = read_parquet(path, options)
    elif Path(options.file_name).suffix.lower() in TABLES:
        from engine.data.importing.table import read_csv

        imported = read_csv(path, options)
    else:
        raise refuse(
            options,
            "unreadable",
            "not a readable .npz file, zip archive or Parquet file; the name of a table ends in "
            ".csv",
        )
    return _store(imported, out, name, options)


def _holds_arrays(path: Path) -> bool:
    """Whether a zip archive is an `.npz` file; a damaged one counts as one."""
    try:
        with open_archive(path, MAX_DIRECTORY_BYTES) as archive:
            names = archive.entries.keys()
    except DAMAGE:
        return True
    return all(name.endswith(".npy") for name in names)


def _convert_npz(path: Path, out: Path, name: str, options: ImportOptions) -> Converted:
    """A file that is not as it is stored is converted where it can be."""
    try:
        return Converted(path, inspect_npz(path, name, options.limits), ())
    except InvalidSpec as invalid:
        if invalid.errors[0].code in ("unreadable", "too-large", "not-finite"):
            raise
    from engine.data.importing.arrays import read_arrays

    return _store(read_arrays(path, options), out, name, options)


def _store(imported: Imported, out: Path, name: str, options: ImportOptions) -> Converted:
    """Write the file and check it by the rules for all stored files."""
    imported.write(out)
    info = inspect_npz(out, name, options.limits)
    return Converted(out, info, imported.notes, imported.columns)
