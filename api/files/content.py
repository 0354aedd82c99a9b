"""Recognises what kind of file was sent, so that an error can say it."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from engine.data.zip_archive import DAMAGE, open_archive

HEAD_BYTES = 512
MAX_DIRECTORY_BYTES = 8 << 20
PICKLE_HINT = "pickles can run code and are never read; write it with safetensors.torch.save_file"
ZIP = b"PK\x03\x04"


class Expected(Enum):
    """The files that the service takes."""

    DATASET = "a data set (.npz, CSV, Parquet, or a zip archive of images)"
    CHECKPOINT = "a safetensors file"
    EXPORT = "an export of an experiment (a zip archive)"


@dataclass(frozen=True, slots=True)
class Content:
    """A kind of file. `hint` is what to do with it."""

    name: str
    hint: str = ""
    may_be: Set[Expected] = frozenset()
    """Whose readers decide whether to take the file"""

    def __str__(self) -> str:
        return f"{self.name}; {self.hint}" if self.hint else self.name


SAFETENSORS = Content(
    Expected.CHECKPOINT.value, "POST /checkpoints takes weights", {Expected.CHECKPOINT}
)
NPZ = Content("an .npz file", "POST /datasets takes data sets", {Expected.DATASET})
EXPORT = Content("an export of an experiment", "POST /import takes exports", {Expected.EXPORT})
HTML = Content("an HTML page", "check the address that it was downloaded from")
MAGIC: tuple[tuple[bytes, Content], ...] = (
    (b"\x1f\x8b", Content("a gzip file", "decompress it first, with `gunzip`")),
    (b"BZh", Content("a bzip2 file", "decompress it first, with `bunzip2`")),
    (b"\xfd7zXZ\0", Content("an xz file", "decompress it first, with `unxz`")),
    (b"\x28\xb5\x2f\xfd", Content("a zstd file", "decompress it first, with `unzstd`")),
    (b"7z\xbc\xaf\x27\x1c", Content("a 7z archive", "unpack it first")),
    (
        b"version https://git-lfs.",
        Content("a Git LFS pointer", "get the file itself first, with `git lfs pull`"),
    ),
    (
        b"\x93NUMPY",
        Content("a .npy file", "it holds one array; numpy.savez_compressed writes all four"),
    ),
    (b"\x89HDF\r\n\x1a\n", Content("an HDF5 file", "write its arrays or tensors anew")),
    *((b"\x80" + bytes([version]), Content("a pickle", PICKLE_HINT)) for version in range(2, 6)),
    (b"<!DOCTYPE", HTML),
    (b"<!doctype", HTML),
    (b"<html", HTML),
    (b"--", Content("an HTML form", "send the file itself as the body")),
)
"""Kinds of files by their first bytes"""


def recognise(path: Path) -> Content | None:
    """The kind of the file; None if it is unknown."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return Content("an empty body", "send the file itself as the body")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return SAFETENSORS
    if head.startswith(ZIP):
        return _recognise_zip(path)
    for magic, content in MAGIC:
        if head.startswith(magic):
            return content
    if head[257:262] == b"ustar":
        return Content("a tar archive", "unpack it first")
    return None


def _recognise_zip(path: Path) -> Content | None:
    try:
        with open_archive(path, MAX_DIRECTORY_BYTES) as archive:
            names = archive.entries.keys()
    except DAMAGE:
        return None
    if any(name.endswith("data.pkl") for name in names):
        return Content("a PyTorch file (.pt, .pth), which is a pickle", PICKLE_HINT)
    if "bundle.json" in names:
        return EXPORT
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    shown = ", ".join(sorted(names)[:4])[:200] or "nothing"
    return Content("a zip archive", f"it holds {shown}", {Expected.DATASET, Expected.EXPORT})
