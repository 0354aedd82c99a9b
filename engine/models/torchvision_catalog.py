"""The classification architectures of torchvision and their weights. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

CATALOG_FILE = "torchvision_catalog.json"
"""Written by `python -m ops.torchvision_catalog` from the installed torchvision"""


@cache
def architectures() -> Mapping[str, Mapping[str, str]]:
    """By architecture, the file of each of its weights, in torchvision's order."""
    text = (files("engine.models") / CATALOG_FILE).read_text(encoding="utf-8")
    found: dict[str, dict[str, str]] = json.loads(text)
    return MappingProxyType(found)
