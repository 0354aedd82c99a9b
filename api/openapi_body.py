"""The submission's body as the API's description shows it: each kind's form, each kind's example that runs as it stands."""

from __future__ import annotations

from typing import Any

from engine.experiments.registry import kinds
from schemas.submission import Submission


def submission_body() -> dict[str, Any]:
    """`openapi_extra` of the routes that take a submission; they read the body themselves, with bounds."""
    schema: dict[str, Any] = Submission.model_json_schema(ref_template="#/$defs/{model}")
    definitions = schema.pop("$defs", {})
    schema["properties"]["spec"] = {
        "description": "The form of one kind; GET /kinds/{kind} has its whole schema.",
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"type": "string", "enum": list(kinds())}},
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _inline(schema, definitions),
                    "examples": {
                        kind.name: {"summary": kind.title, "value": dict(kind.example)}
                        for kind in kinds().values()
                    },
                }
            },
        }
    }


def _inline(value: Any, definitions: dict[str, Any]) -> Any:
    """Replace references by what they refer to: the schema stands inside an operation."""
    if isinstance(value, dict):
        if "$ref" in value:
            return _inline(definitions[value["$ref"].rsplit("/", 1)[1]], definitions)
        return {key: _inline(inner, definitions) for key, inner in value.items()}
    return [_inline(inner, definitions) for inner in value] if isinstance(value, list) else value
