"""Prints what an image installs with pip: the dependencies of the client and of the service.

    python3 docker/list_requirements.py [--without NAME ...]

The client itself is left out, because the image installs it from its folder.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path


def list_requirements(root: Path, without: set[str]) -> list[str]:
    """Requirements of both distributions and of the extra `s3`, without the named packages."""
    requirements: dict[str, None] = {}
    for folder, extras in ((root / "client", ()), (root, ("s3",))):
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for listed in (
            project["dependencies"],
            *(project["optional-dependencies"][name] for name in extras),
        ):
            requirements |= dict.fromkeys(listed)
    return [one for one in requirements if name_of(one) not in without | {"richregime"}]


def name_of(requirement: str) -> str:
    """The package's name: `celery` of `celery[redis]>=5.7`."""
    return re.split(r"[\[<>=!~; ]", requirement)[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", nargs="*", default=[], help="packages to leave out")
    chosen = parser.parse_args()
    print("\n".join(list_requirements(Path(__file__).parents[1], set(chosen.without))))
