"""Addresses and API keys are checked before anything is sent, and no message contains a key."""

from __future__ import annotations

import httpx
import pytest

from richregime import Client, InvalidConnection
from richregime.connection import api_key, connection_arguments, service_url

KEY = "rrk_1_" + "x" * 43


@pytest.mark.parametrize("given", [f"{KEY}\n", f"{KEY}\r\n", f"  {KEY} ", f"{KEY}\t"])
def test_blanks_around_a_key_are_removed(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api_key(given) == KEY
    monkeypatch.setenv("RICHREGIME_KEY", given)
    assert api_key() == KEY
    assert connection_arguments(None, None, 1)["headers"]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "given", [f"{KEY}\nInjected: 1", f"{KEY} x", f"{KEY}é", f"{KEY}\0", f"\u200b{KEY}"]
)
def test_a_key_with_other_characters_is_refused_without_showing_it(given: str) -> None:
    with pytest.raises(InvalidConnection, match="the given API key contains") as raised:
        Client("http://127.0.0.1:1", key=given)
    assert "xxx" not in str(raised.value)
    assert "xxx" not in repr(raised.value)


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_key_is_none(empty: str) -> None:
    assert api_key(empty) is None


@pytest.mark.parametrize(
    "given",
    [
        "http://a b",
        "http://a\r\nHost: x",
        "ftp://a",
        "nothing",
        "http://",
        "http://a:port",
        "http://a:",
        "http://a:0",
        "http://a:65536",
        "http://a..b",
        "http://a/?key=1",
        "http://a/#part",
    ],
)
def test_an_address_that_cannot_be_one_is_refused(given: str) -> None:
    with pytest.raises(InvalidConnection, match="not the address of a service"):
        Client(given)


@pytest.mark.parametrize(
    "given",
    [
        "http://me:hunter2@a",
        "http://hunter2@a",
        "http://a/?key=hunter2",
        "rrk_1_hunter2",
        f"ftp://{KEY}",
    ],
)
def test_a_refused_address_shows_no_secret(given: str) -> None:
    with pytest.raises(InvalidConnection, match="not the address of a service") as raised:
        Client(given)
    assert "hunter2" not in str(raised.value)
    assert "xxx" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (" http://127.0.0.1:8000/ ", "http://127.0.0.1:8000"),
        ("https://h.example/lab\n", "https://h.example/lab"),
        ("http://[::1]:9", "http://[::1]:9"),
        ("", "http://127.0.0.1:8000"),
    ],
)
def test_an_address_is_used_without_blanks_and_slashes_at_its_end(given: str, used: str) -> None:
    assert service_url(given) == used
    assert httpx.URL(used).host
