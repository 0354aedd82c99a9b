"""The quantities that a claim may name, known before anything is computed.

A kind's `answer` reads its quantities from a result. So it is given an expected result: the shape
of one, with a placeholder for every statistic.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from engine.answers import PLACEHOLDER, AnswerColumn
from engine.data.spec import DatasetInfo
from engine.kind import Kind
from engine.probes.quantities import QUANTITIES
from engine.result import ResultModel, Statistic
from engine.spec import ExperimentSpec


def list_claimable(
    kind: Kind, spec: ExperimentSpec, info: DatasetInfo
) -> list[AnswerColumn] | None:
    """The quantities of a point with this spec that are means over seeds; values are placeholders.

    None for a kind whose answer needs more of a result than `Kind.expect` gives.
    """
    expected = _blank(kind.point_result) | dict(kind.expect(spec, info))
    if spec.probes is not None:
        expected["probes"] = {
            one.name: PLACEHOLDER for one in QUANTITIES if one.group in spec.probes.quantities
        }
    try:
        columns = kind.read_quantities(expected)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    return [column for column in columns if column.is_mean and column.statistic is not None]


def is_relative(column: AnswerColumn) -> bool:
    """Whether the quantity is a ratio to another point already."""
    return column.unit == "ratio"


def _blank(model: type[ResultModel]) -> dict[str, Any]:
    """The fields of a result with placeholders; those that hold no statistic are null."""
    return {name: _blank_value(field.annotation) for name, field in model.model_fields.items()}


def _blank_value(annotation: Any) -> Mapping[str, Any] | None:
    is_optional = get_origin(annotation) in (Union, UnionType) and Statistic in get_args(annotation)
    if annotation is Statistic or is_optional:
        return PLACEHOLDER
    if isinstance(annotation, type) and issubclass(annotation, ResultModel):
        return _blank(annotation)
    return None
