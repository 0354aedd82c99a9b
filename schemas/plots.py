"""A plot that a kind can draw."""

from __future__ import annotations

from schemas.base import Resource
from schemas.links import Links


class Plot(Resource):
    name: str
    title: str
    description: str
    links: Links
