"""The catalog: kinds, presets, models."""

from __future__ import annotations

from typing import Any

from schemas.base import Resource


class KindResource(Resource):
    name: str
    title: str
    description: str
    spec_schema: dict[str, Any]
    """JSON Schema of the spec"""
    result_schema: dict[str, Any]
    """JSON Schema of a point of the result"""
    plots: list[str]
    example: dict[str, Any]
    page: str
    """What is measured, by which formula (Markdown)"""


class PresetResource(Resource):
    name: str
    scale: str
    title: str
    description: str
    kind: str
    plots: list[str]
    reading: str | None
    """The reading of the paper (`GET /readings`) that its specs make; null for none."""
    departures: list[str]
    """Where it departs from what the paper prints."""
    choices: list[str]
    """What it chooses where the paper is silent."""
    body: dict[str, Any]


class ReadingResource(Resource):
    """A reading of the paper: what it takes the paper's open choices to be."""

    name: str
    sentence: str
    """Why this reading."""
    fields: dict[str, Any]
    """The fields of a spec that it sets, where the kind has them."""


class LayerResource(Resource):
    name: str
    kind: str
    parameters: int
    output_shape: list[int]


class ModelResource(Resource):
    name: str
    title: str
    model: dict[str, Any]
    dataset: str
    parameters: int
    layers: list[LayerResource]
