"""How every process of the service logs: words for people or JSON for machines, and no secret in either.

What a line is about (request, run, worker, owner) is bound once with `about` and stands in every JSON line within.
"""

from __future__ import annotations

import logging
import re
import sys
from enum import StrEnum
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars

SECRETS = (
    (re.compile(r"\b(rrk_[0-9a-f]+)_[\w-]{16,}"), r"\1_***"),
    (re.compile(r"\bwhsec_[\w+/=-]+"), "whsec_***"),
    (re.compile(r"(://[^\s/:@\"]*):[^\s/@\"]+@"), r"\1:***@"),
)
"""API keys but for their ids, secrets of webhooks, passwords in addresses"""
CHATTY = ("alembic", "celery", "httpx")
"""httpx would log whole addresses, which may hold tokens"""

about = bound_contextvars
"""Within the block every line tells these as well."""
add_log_context = bind_contextvars
"""As `about`, until the block around it ends."""


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


def set_up_logging(form: LogFormat, part: str) -> None:
    """Log to standard error. part: which process of the service this is; stands in every JSON line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(make_formatter(form, part))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # A line a request is for machines: people have the browser's, and a page that follows a run asks every second.
    logging.getLogger("richregime.requests").setLevel(
        logging.INFO if form is LogFormat.JSON else logging.WARNING
    )


def make_formatter(form: LogFormat, part: str) -> logging.Formatter:
    """One that hides secrets, wherever in a line they stand: in words, in an exception, in a value."""
    if form is LogFormat.TEXT:
        return _Discreet(logging.Formatter("%(levelname)s %(message)s"))

    def add_part(logger: Any, method: str, line: Any) -> Any:
        return {"part": part, **line}

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
            add_part,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
    )
    return _Discreet(json_lines)


def hide_secrets(text: str) -> str:
    for pattern, shown in SECRETS:
        text = pattern.sub(shown, text)
    return text


class _Discreet(logging.Formatter):
    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return hide_secrets(self._inner.format(record))
