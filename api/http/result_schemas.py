"""Results as the API's description shows them: one schema per kind, with the kind's own points."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import create_model
from pydantic.json_schema import models_json_schema

from api.http.request_bodies import REFERENCE
from engine.experiments.registry import kinds
from engine.kind import Kind
from schemas.results import Result

RESULT_PATH = "/experiments/{experiment_id}/result"


def result_schemas() -> dict[str, Any]:
    """Schemas of every kind's result and points by name: `TrainResult`, `TrainPointResult`."""
    models = [_result_model(kind) for kind in kinds().values()]
    _, found = models_json_schema(
        [(model, "serialization") for model in models], ref_template=REFERENCE
    )
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def any_result_schema() -> dict[str, Any]:
    """The response of `RESULT_PATH`: the result of a known kind, chosen by `kind`, or of another.

    A result of another kind was computed by a plug-in that is not installed any more.
    """
    references = {name: REFERENCE.format(model=_result_name(name)) for name in kinds()}
    known = {
        "oneOf": [{"$ref": reference} for reference in references.values()],
        "discriminator": {"propertyName": "kind", "mapping": references},
    }
    return {"title": "AnyResult", "anyOf": [known, {"$ref": REFERENCE.format(model="Result")}]}


def _result_name(kind: str) -> str:
    return "".join(word.title() for word in kind.split("_")) + "Result"


def _result_model(kind: Kind) -> type[Result]:
    return create_model(
        _result_name(kind.name),
        __base__=Result,
        __doc__=f"The result of the kind `{kind.name}`.",
        kind=(Literal[kind.name], ...),  # type: ignore[arg-type]
        points=(list[kind.point_result], ...),  # type: ignore[name-defined]
    )
