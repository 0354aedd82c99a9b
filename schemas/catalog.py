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
    """One layer, as policies and sweeps count them."""

    name: str
    kind: str
    """`linear`, `conv`, or `block` for several weights"""
    parameters: int
    output_shape: list[int]
    """Of one example"""
    tensors: list[str]
    """The names of its parameters, as in a theta file"""
    forward_flops: int
    """Of one example; a multiply-add counts 2"""
    normalises_by_batch: bool
    """Whether, in training, its output for an example depends on the others of the batch"""
    is_random: bool
    """Whether it draws random numbers in training, as dropout does"""


class ModelResource(Resource):
    """A network."""

    name: str
    title: str
    model: dict[str, Any]
    """The `model` of a spec"""
    dataset: str | None
    """The data set whose shape and classes the net takes; null where no layers are told"""
    parameters: int | None
    forward_flops: int | None
    """Of one example"""
    layers: list[LayerResource] | None
    """Bottom first; null for torchvision and plug-ins in the list: `GET /models/{name}` has them"""
    spec_schema: dict[str, Any]
    """JSON Schema of `model`"""


class PluginProblemResource(Resource):
    """Why a plug-in, or one of its nets, cannot be used."""

    model: str | None
    """The net; null where the whole plug-in cannot be read"""
    message: str
    """With the line"""


class PluginResource(Resource):
    """A plug-in that workers have read."""

    origin: str
    """The file or the distribution"""
    models: list[str]
    """The nets that it offers"""
    problems: list[PluginProblemResource]
