"""Unpacks and packs exported zip archives."""

from __future__ import annotations

import hashlib
import io
import zipfile

Entries = dict[str, bytes]
"""Contents by entry name."""


def unpack_zip(archive: bytes) -> Entries:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def pack_zip(entries: Entries, *, sums: bool = True) -> bytes:
    """A zip archive. sums: write correct checksums instead of those in the entries."""
    if sums:
        lines = [
            f"{hashlib.sha256(data).hexdigest()}  {name}\n"
            for name, data in entries.items()
            if name != "SHA256SUMS"
        ]
        entries = {**entries, "SHA256SUMS": "".join(lines).encode()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return stream.getvalue()
