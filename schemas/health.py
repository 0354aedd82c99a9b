"""Liveness and readiness of the service."""

from __future__ import annotations

from schemas.base import Resource


class Health(Resource):
    status: str


class Readiness(Resource):
    ready: bool
    database: bool
    broker: bool
    workers_listening: int
