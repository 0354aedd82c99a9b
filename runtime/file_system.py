"""Which file system holds a path, so that those of other hosts can be told."""

from __future__ import annotations

import re
from pathlib import Path

NETWORK_TYPES = re.compile(
    r"nfs\d?|cifs|smb\w*|afs|ceph|lustre|beegfs|gpfs|glusterfs|ocfs2|gfs2"
    r"|fuse\.(sshfs|glusterfs|ceph\S*|s3fs|gcsfuse|rclone|cvmfs2|juicefs|davfs\S*)|fuse\.nfs\S*"
)
"""File systems that other hosts may have mounted too"""
MOUNTS = Path("/proc/self/mountinfo")
"""Linux only: elsewhere nothing is known"""


def network_type_of(path: Path) -> str | None:
    """The type of the network file system that holds the path, such as `nfs4`; None for others.

    The path need not exist. None too where the system does not tell.
    """
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    resolved, found, longest = path.resolve(), "", -1
    for mount in mounts:
        fields, _, kind = mount.partition(" - ")
        folder = Path(_unescape(fields.split(" ")[4]))
        # Of mounts on the same folder the last one covers the others.
        if resolved.is_relative_to(folder) and len(folder.parts) >= longest:
            longest, found = len(folder.parts), kind.split(" ")[0]
    return found if NETWORK_TYPES.fullmatch(found) else None


def _unescape(text: str) -> str:
    """The kernel writes blanks and backslashes of a folder as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
