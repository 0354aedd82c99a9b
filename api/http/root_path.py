"""The path before the service, and the path of a request below it."""

from __future__ import annotations

from starlette.types import Scope


def root_path_of(scope: Scope) -> str:
    """`/lab` where a proxy serves the service below it, else empty; also in a mounted folder."""
    found: str = scope.get("app_root_path", scope["root_path"])
    return found


def service_path_of(scope: Scope) -> str:
    """The path of the request as the routes name it: without the path before the service."""
    path: str = scope["path"]
    return path.removeprefix(root_path_of(scope))
