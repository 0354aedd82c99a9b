"""Request bodies in the OpenAPI description. The routes parse them with limits of their own."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from engine.experiments.registry import kinds
from schemas.actions import Labelling, Selection
from schemas.resources import ExperimentUpdate
from schemas.submission import Extension, Submission

REFERENCE = "#/components/schemas/{model}"


def body_schemas() -> dict[str, Any]:
    """Schemas of all bodies by name. A submission's `spec` is the union of the kinds' specs."""
    models: list[type[BaseModel]] = [Submission, Extension, ExperimentUpdate, Selection, Labelling]
    specs = {name: kind.spec for name, kind in kinds().items()}
    _, found = models_json_schema(
        [(model, "validation") for model in [*models, *specs.values()]], ref_template=REFERENCE
    )
    schemas: dict[str, Any] = found["$defs"]
    references = {name: REFERENCE.format(model=spec.__name__) for name, spec in specs.items()}
    for spec in specs.values():
        schemas[spec.__name__]["required"] = ["kind", *schemas[spec.__name__].get("required", ())]
    schemas["Submission"]["properties"]["spec"] = {
        "title": "Spec",
        "description": Submission.model_fields["spec"].description,
        "oneOf": [{"$ref": reference} for reference in references.values()],
        "discriminator": {"propertyName": "kind", "mapping": references},
    }
    return schemas


def _json_body(schema: str, examples: dict[str, Any]) -> dict[str, Any]:
    reference = {"$ref": REFERENCE.format(model=schema)}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference, "examples": examples}},
        }
    }


SUBMISSION_BODY = _json_body(
    "Submission",
    {kind.name: {"summary": kind.title, "value": dict(kind.example)} for kind in kinds().values()},
)
"""`openapi_extra` of a submission, with an example for each kind that is ready to submit"""
EXTENSION_BODY = _json_body(
    "Extension", {"seeds": {"summary": "Two more seeds", "value": {"seeds": [5, 6]}}}
)
UPDATE_BODY = _json_body(
    "ExperimentUpdate", {"priority": {"summary": "Highest priority", "value": {"priority": 10}}}
)
SELECTION_BODY = _json_body(
    "Selection",
    {
        "filter": {
            "summary": "What would be done with all experiments that have a label",
            "value": {"filter": {"label": "paper:fig9"}, "dry_run": True},
        },
        "ids": {"summary": "Two experiments", "value": {"ids": ["exp_1", "exp_2"]}},
    },
)
LABELLING_BODY = _json_body(
    "Labelling",
    {
        "label": {
            "summary": "Set one label, remove another",
            "value": {
                "filter": {"kind": "lws", "status": "succeeded"},
                "labels": {"paper": "fig9", "draft": None},
                "dry_run": True,
            },
        }
    },
)
DATASET_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""The bytes of an `.npz` file"""
WEIGHTS_BODY = DATASET_BODY
"""The bytes of a safetensors file"""
EXPORT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""The bytes of an export"""
