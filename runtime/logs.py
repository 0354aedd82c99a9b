"""How every process of the service logs: text or JSON lines, both without secrets.

`log_context` adds fields (request, run, worker, owner) to every JSON line of a block.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from enum import StrEnum
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars

_NAME = r"[\w.-]*(?:key|token|secret|passw(?:or)?d|signature|credential)[\w.-]*"
SECRET_PATTERNS = (
    (re.compile(r"(rrk_[0-9a-f]+)_[\w%-]+"), r"\1_***"),
    (re.compile(r"whsec_[\w+/=%~-]+"), "whsec_***"),
    (re.compile(r"(://[^\s/:@\"']*):(?!\d{1,5}[/?#\s])[^\s\"']+@"), r"\1:***@"),
    (re.compile(r"://[^\s/:@\"']{16,}@"), "://***@"),
    (re.compile(rf"([?&;]{_NAME}=)[^&;\s\"'<>#]+", re.IGNORECASE), r"\1***"),
    (re.compile(r"\b(passw(?:or)?d\s*=\s*)\S+", re.IGNORECASE), r"\1***"),
    (
        re.compile(r"\b(bearer|basic|token)(\s+)[\w.~+/=-]{16,}", re.IGNORECASE | re.ASCII),
        r"\1\2***",
    ),
)
"""(pattern, replacement): API keys except their ids, webhook secrets, users and passwords in URLs,
secrets in queries, passwords of libpq, credentials of HTTP"""
MIN_SECRET = 8
SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Variables whose value is hidden wherever it stands; object stores repeat it in their errors"""
QUIET_LOGGERS = ("alembic", "celery", "httpx")
"""Only their warnings are logged; httpx would log whole URLs, which may hold tokens"""

log_context = bound_contextvars
"""A block in which every JSON line has these fields as well."""
add_log_context = bind_contextvars
"""Add fields to the current `log_context` block."""


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


def set_up_logging(log_format: LogFormat, process: str) -> None:
    """Log to standard error, uncaught exceptions too.

    process: the name of this process, a field of every JSON line.
    """
    _log_uncaught_exceptions()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(make_formatter(log_format, process))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    # One line a request is useful to machines only: a page that follows a run sends a request
    # every second.
    logging.getLogger("richregime.requests").setLevel(
        logging.INFO if log_format is LogFormat.JSON else logging.WARNING
    )


def make_formatter(log_format: LogFormat, process: str) -> logging.Formatter:
    """A formatter that hides secrets anywhere in a line: in messages, exceptions and fields."""
    if log_format is LogFormat.TEXT:
        return _RedactingFormatter(_OneLineFormatter("%(levelname)s %(message)s"))

    def add_process(logger: Any, method: str, line: Any) -> Any:
        return {"process": process, **line}

    json_lines = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            add_process,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
            lambda logger, method, line: show_controls(str(line)),
        ],
    )
    return _RedactingFormatter(json_lines)


def hide_secrets(text: str) -> str:
    """The text with `***` in the place of each secret that it may contain."""
    for name in SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= MIN_SECRET:
            text = text.replace(value, "***")
    for pattern, shown in SECRET_PATTERNS:
        text = pattern.sub(shown, text)
    return text


def _log_uncaught_exceptions() -> None:
    """Without this Python writes them to standard error as they are, with their secrets."""

    def log_exception(kind: Any, error: Any, trace: Any, thread: Any = None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        where = f"thread {thread.name}" if thread is not None else "process"
        message = "uncaught exception; the %s ends"
        logging.getLogger("richregime").critical(message, where, exc_info=(kind, error, trace))

    sys.excepthook = log_exception
    threading.excepthook = lambda found: log_exception(
        found.exc_type, found.exc_value, found.exc_traceback, found.thread
    )


def show_controls(text: str) -> str:
    """The text with each invisible character, such as a line break, as `\\u000a`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


class _OneLineFormatter(logging.Formatter):
    """One line a message, whatever it holds; the lines of a traceback begin with blanks."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return show_controls(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"  {show_controls(line)}" for line in lines)


class _RedactingFormatter(logging.Formatter):
    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return hide_secrets(self._inner.format(record))
