"""A plot that a kind can draw."""

from __future__ import annotations

from schemas.base import Resource


class Plot(Resource):
    name: str
    title: str
    description: str
    links: dict[str, str]
