"""Checks the claims of a submission against its points; their types are checked elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from engine.answers import AnswerColumn, explain_unknown_quantity
from engine.errors import FieldError
from engine.own_claims.claim import (
    BOUNDS,
    EQUAL_POINTS,
    EQUAL_POINTS_DETAIL,
    MAX_CLAIMS,
    ONE_BOUND,
    ONE_BOUND_DETAIL,
)
from engine.own_claims.quantities import is_relative

Quantities = Callable[[int], Sequence[AnswerColumn] | None]
"""Of a point by its index; None where the kind does not tell them"""
FIELD = "#/claims"


def check_claims(
    claims: object, num_points: int, quantities: Quantities | None
) -> list[FieldError]:
    """The errors of claims, given as JSON, that no type tells; ill-typed fields are skipped.

    num_points: 0 where the points are not known. quantities: None where they cannot be told.
    """
    if not isinstance(claims, list):
        return []
    errors = _find_repeated(claims[:MAX_CLAIMS])
    for index, claim in enumerate(claims[:MAX_CLAIMS]):
        if isinstance(claim, Mapping):
            errors += _check_claim(f"{FIELD}/{index}", claim, num_points, quantities)
    return errors


def _find_repeated(claims: Sequence[Any]) -> list[FieldError]:
    errors, first = [], dict[str, int]()
    for index, claim in enumerate(claims):
        name = claim.get("name") if isinstance(claim, Mapping) else None
        if isinstance(name, str) and first.setdefault(name, index) != index:
            detail = f"the claim {first[name]} has this name already; names must differ"
            errors.append(FieldError(f"{FIELD}/{index}/name", "repeated-name", detail))
    return errors


def _check_claim(
    pointer: str, claim: Mapping[str, Any], num_points: int, quantities: Quantities | None
) -> Iterator[FieldError]:
    if sum(claim.get(name) is not None for name in BOUNDS) != 1:
        yield FieldError(pointer, ONE_BOUND, ONE_BOUND_DETAIL)
    point, versus = claim.get("point", 0), claim.get("versus")
    if _is_index(versus) and versus == point:
        yield FieldError(f"{pointer}/versus", EQUAL_POINTS, f"{EQUAL_POINTS_DETAIL} (got {versus})")
    indices = {"point": point, "versus": versus}
    known = [index for index in indices.values() if _is_index(index) and index < num_points]
    for name, index in indices.items():
        if num_points and _is_index(index) and index >= num_points:
            detail = (
                f"the experiment has {num_points:,} point{'s' * (num_points > 1)}, counted from "
                f"0; there is no point {index}"
            )
            yield FieldError(f"{pointer}/{name}", "no-such-point", detail)
    quantity = claim.get("quantity")
    if quantities is not None and isinstance(quantity, str):
        yield from _check_quantity(f"{pointer}/quantity", quantity, known, versus, quantities)


def _check_quantity(
    pointer: str, quantity: str, points: Sequence[int], versus: object, quantities: Quantities
) -> Iterator[FieldError]:
    """The first error of the quantity at the points of its claim."""
    for index in points:
        columns = quantities(index)
        if columns is None:
            detail = "the kind does not tell its quantities beforehand, so it takes no claims"
            yield FieldError(pointer, "no-quantities", detail)
            return
        named = {column.name: column for column in columns}
        if quantity not in named:
            detail = f"{explain_unknown_quantity(quantity, list(named))} (point {index})"
            yield FieldError(pointer, "unknown-quantity", detail)
            return
        if versus is not None and is_relative(named[quantity]):
            detail = (
                f"{quantity} is a ratio to another point already; leave `versus` out, or claim a "
                "quantity that it compares"
            )
            yield FieldError(pointer, "relative-quantity", detail)
            return


def _is_index(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
