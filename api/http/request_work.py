"""What one request computes: its CPU time, and whether its caller still waits for the response."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from fastapi import APIRouter


class CallerGone(Exception):
    """The client has disconnected: nobody waits for the response."""


@dataclass(slots=True)
class RequestWork:
    """The work of one request. Its threads add to it, and the event loop reads it."""

    cpu_seconds: float = 0.0
    """CPU time of the request's functions, without reading and authenticating the request"""
    caller_is_gone: bool = False


_current: ContextVar[RequestWork | None] = ContextVar("request_work", default=None)


@contextmanager
def current_work(work: RequestWork) -> Iterator[None]:
    """The work of everything that is called inside, also in threads."""
    token = _current.set(work)
    try:
        yield
    finally:
        _current.reset(token)


def require_caller() -> None:
    """Raises CallerGone where the caller has gone. Long computations call it between points."""
    work = _current.get()
    if work is not None and work.caller_is_gone:
        raise CallerGone


@contextmanager
def _counting_cpu() -> Iterator[None]:
    work, began = _current.get(), time.thread_time()
    try:
        yield
    finally:
        if work is not None:
            work.cpu_seconds += time.thread_time() - began


def counted(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of a response; making them counts as the request's CPU time."""
    made = iter(chunks)
    while True:
        with _counting_cpu():
            chunk = next(made, None)
        if chunk is None:
            return
        yield chunk


class Router(APIRouter):
    """A router whose functions count their CPU time as the request's."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().add_api_route(path, _counted_function(endpoint), **options)


def _counted_function(function: Callable[..., Any]) -> Callable[..., Any]:
    if iscoroutinefunction(function):
        return function  # it runs in the event loop, and must not compute

    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        with _counting_cpu():
            return function(*args, **named)

    return call
