"""Parsing a JSON body takes time proportional to its size."""

from __future__ import annotations

import pytest

from api.http import json_body
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


class CountedKey(str):
    """A key that counts how often keys are compared."""

    comparisons = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedKey.comparisons += 1
        return str.__eq__(self, other)


def test_repeated_keys_are_counted_in_linear_time() -> None:
    pairs = [(CountedKey(f"k{index % 500}"), 1) for index in range(1_000)]
    CountedKey.comparisons = 0
    found = json_body._gather(list(pairs))
    assert isinstance(found, json_body._RepeatedKeys)
    assert CountedKey.comparisons < 20 * len(pairs)
    assert set(found.repeated_keys) == {f"k{index}" for index in range(500)}
