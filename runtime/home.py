"""The folders of the service's state: they must be writable, and only for their own user."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from runtime.setting_errors import InvalidSetting

log = logging.getLogger("runtime.home")
OTHERS = 0o077
"""Permissions of other users than the owner"""


def default_home() -> Path:
    """`~/.richregime`. Raises InvalidSetting where the user has no home folder."""
    try:
        found = Path.home()
    except RuntimeError:  # no HOME, and no entry in the password database
        found = Path()
    if not found.is_absolute():
        raise InvalidSetting(
            f"user {os.geteuid()} has no home folder: set RICHREGIME_HOME to the folder of all "
            "state, or set HOME"
        )
    return found / ".richregime"


def expand_user(path: Path) -> Path:
    """`~` and `~name` at the beginning as the user's home folder. Raises ValueError."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("this user has no home folder; write the path in full") from None


def prepare_folder(variable: str, folder: Path) -> None:
    """Make a folder of the service's state, or tighten an existing one: only its user has access.

    Raises InvalidSetting for a file, and for a folder that this user cannot write to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_writable = os.access(
            folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
        )
    except FileExistsError:
        raise InvalidSetting(f"{variable}: {folder} is a file; name a folder") from None
    except NotADirectoryError:
        raise InvalidSetting(f"{variable}: a part of {folder} is a file; name a folder") from None
    except OSError as failure:
        raise InvalidSetting(
            f"{variable}: {folder} cannot be made by user {os.geteuid()}: {failure.strerror}; "
            "name another folder, or make the folder for this user"
        ) from None
    if not is_writable:
        owner = folder.stat().st_uid
        whose = "" if owner == os.geteuid() else f" and belongs to user {owner}"
        raise InvalidSetting(
            f"{variable}: {folder} is not writable for user {os.geteuid()}{whose}; make this user "
            "its owner, mount it writable, or name another folder"
        )
    make_private(folder)


def make_private(folder: Path) -> None:
    """Take all permissions from other users, in a folder that they could enter until now.

    Not done for a folder that users share by its sticky bit, such as /tmp.
    """
    mode = folder.stat().st_mode
    if not mode & OTHERS or mode & stat.S_ISVTX:
        return
    try:
        folder.chmod(stat.S_IMODE(mode) & ~OTHERS)
    except OSError as failure:
        log.warning(
            "%s is open to other users, and user %d cannot change that: %s",
            *(folder, os.geteuid(), failure.strerror),
        )
        return
    for path in _own_files(folder):
        try:
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~OTHERS)
        except FileNotFoundError:
            continue  # deleted meanwhile
    log.warning("%s was open to other users; now only its owner has access", folder)


def _own_files(folder: Path) -> Iterator[Path]:
    """Files and folders below `folder` that this user can change; links are not followed."""
    user = os.geteuid()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if not stat.S_ISLNK(status.st_mode) and (user in (0, status.st_uid)):
                yield path


def make_new_files_private() -> None:
    """From now on this process and its children make files that only their user can read."""
    os.umask(OTHERS)
