"""Parsing a JSON body takes time proportional to its size."""

from __future__ import annotations

import pytest

from api.http.json_body import MAX_ERRORS, parse_object
from api.http.problems import ProblemRaised


def repeat_keys(count: int) -> bytes:
    return ("{" + ",".join(f'"k{index % (count // 2)}":1' for index in range(count)) + "}").encode()


def test_repeated_keys_are_reported_up_to_a_limit() -> None:
    with pytest.raises(ProblemRaised) as raised:
        parse_object(repeat_keys(20_000))
    assert raised.value.status == 422
    assert len(raised.value.errors) == MAX_ERRORS
    assert {error.code for error in raised.value.errors} == {"duplicate-key"}


def test_counting_repeated_keys_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times as many keys call the counting function once per object, never once per key."""
    calls = 0

    class Counting(list[tuple[str, object]]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            return super().__iter__()

    from api.http import json_body

    pairs = Counting((f"k{index % 500}", 1) for index in range(1_000))
    found = json_body._gather(pairs)
    assert set(found.repeated_keys) == {f"k{index}" for index in range(500)}  # type: ignore[attr-defined]
    assert calls <= 3
