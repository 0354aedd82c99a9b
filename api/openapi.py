"""The API's description as YAML: `python -m api.openapi > openapi.yaml`."""

from __future__ import annotations

import sys

import yaml

from api.main import create_app
from storage.settings import Settings


def openapi_yaml() -> str:
    """The description that `openapi.yaml` holds; the tests fail when they differ."""
    text: str = yaml.safe_dump(
        create_app(Settings()).openapi(), sort_keys=False, allow_unicode=True, width=120
    )
    return text


if __name__ == "__main__":
    sys.stdout.write(openapi_yaml())
