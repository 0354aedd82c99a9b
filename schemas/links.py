"""The links of a resource: paths that are below the path of the request's proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated

from pydantic import PlainSerializer

_ROOT_PATH: ContextVar[str] = ContextVar("root_path", default="")


@contextmanager
def links_below(root_path: str) -> Iterator[None]:
    """Put `root_path` before each link that is written as JSON meanwhile."""
    token = _ROOT_PATH.set(root_path)
    try:
        yield
    finally:
        _ROOT_PATH.reset(token)


def _add_root_path(links: dict[str, str]) -> dict[str, str]:
    root_path = _ROOT_PATH.get()
    return {name: f"{root_path}{path}" for name, path in links.items()}


Links = Annotated[dict[str, str], PlainSerializer(_add_root_path, when_used="json")]
"""Paths of the service by name; as JSON, with the path of the request's proxy before them."""
