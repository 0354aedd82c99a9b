"""Documents that are generated from the code: settings, Python client, command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ops.documents.command_line import command_line_markdown
from ops.documents.python_client import python_client_markdown
from ops.documents.settings import settings_markdown

GENERATED: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "docs/reference/settings.md": settings_markdown,
        "docs/reference/python-client.md": python_client_markdown,
        "docs/reference/command-line.md": command_line_markdown,
    }
)
"""The text of each generated document, by its path in the repository."""
