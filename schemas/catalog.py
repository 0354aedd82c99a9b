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
    deviations: list[str]
    body: dict[str, Any]


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
