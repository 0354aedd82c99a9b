"""The addresses of database, broker, object store and service that the settings accept."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

DATABASES = ("postgresql", "postgres", "postgresql+psycopg")
OBJECT_STORES = ("s3", "gs", "az", "file")
PUBLIC_URL = re.compile(r"https?://[^\s/?#@<>|\"\\]+(/[^\s?#<>|\"\\]*)?")
BROKERS = ("redis", "rediss", "redis+socket", "unix")


def check_database_url(url: str) -> None:
    """Raises ValueError unless `url` is that of a Postgres or of an SQLite file."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and rest.strip("/"):
        return
    if scheme not in DATABASES or not _has_valid_port(url):
        raise ValueError("it is like postgresql://USER:PASSWORD@HOST:5432/NAME or sqlite:///FILE")


def check_broker_url(url: str) -> None:
    """Raises ValueError unless `url` is that of a Redis or Valkey server."""
    scheme, separator, rest = url.partition("://")
    if scheme not in BROKERS or not separator or not rest or not _has_valid_port(url):
        raise ValueError("it is like redis://HOST:6379/0, rediss://... or redis+socket:///FILE")


def check_blob_url(url: str) -> None:
    """Raises ValueError unless `url` is a place in a known store, without credentials."""
    scheme, _, rest = url.partition("://")
    if scheme not in OBJECT_STORES or not rest.strip("/"):
        raise ValueError("it is like s3://BUCKET/PREFIX")
    if "@" in rest:
        raise ValueError("it is like s3://BUCKET/PREFIX; the credentials are variables (AWS_...)")


def check_public_url(url: str) -> str:
    """The address without a slash at its end.

    Raises ValueError unless it is one of a web site, without credentials, query and fragment.
    """
    if not PUBLIC_URL.fullmatch(url) or not _has_valid_port(url):
        raise ValueError("it is like https://lab.example.org or https://example.org/richregime")
    return url.rstrip("/")


def _has_valid_port(url: str) -> bool:
    try:
        port = urlsplit(url).port
    except ValueError:
        return False
    return port is None or port > 0
