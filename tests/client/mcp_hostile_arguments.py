"""Wrong arguments of each MCP tool, and what each error must say."""

from __future__ import annotations

import json
import math
from typing import Any

from tests.client.mcp_sessions import Session, id_in

SMALL = {"kind": "train", "epochs": 1, "model": {"name": "relu_net", "width": 10}}
MAX_ERROR = 5_000
"""Characters"""
HUGE = "x" * 200_000
DEEP: dict[str, Any] = {"a": 1}
for _ in range(150):
    DEEP = {"a": DEEP}
HOSTILE: list[tuple[str, dict[str, Any], str]] = [
    ("nothing", {}, "there is no tool 'nothing'; tools: kinds"),
    (HUGE[:300], {}, "there is no tool 'xxx"),
    ("kinds", {"offset": -1}, "/offset: "),
    ("kinds", {"offset": 10**30}, "/offset: "),
    ("kinds", {"offset": 999_999}, "/offset: 999999 is beyond this answer"),
    ("kinds", {"name": "train"}, "/name: Extra inputs"),
    ("kinds", {HUGE: HUGE}, "of 200000 characters"),
    ("models", {"name": "../limits"}, "/name: "),
    ("models", {"name": ".."}, "neither an id nor a name"),
    ("models", {"name": "relu_net", "fields": {"name": "x"}}, "/fields/name: "),
    ("models", {"name": "relu_net", "fields": {"width": -5}}, "width"),
    ("models", {"name": "relu_net", "fields": {"width": 10**400}}, "width"),
    ("models", {"name": "relu_net", "fields": {str(i): i for i in range(21)}}, "/fields: "),
    ("presets", {"name": "fig2", "scale": "huge"}, "/scale: "),
    ("presets", {"name": "fig2", "reading": "mine"}, "reading"),
    ("presets", {"name": "fig999"}, "not-found (404)"),
    ("describe", {}, "/kind: Field required"),
    ("describe", {"kind": "nope"}, "not-found (404): there is no kind 'nope'"),
    ("describe", {"kind": "train", "field": "nope"}, "/field: train has no field 'nope'; known: "),
    ("preview", {}, "give exactly one of body and preset"),
    ("preview", {"body": {"spec": SMALL}, "preset": "fig2"}, "give exactly one of body and preset"),
    ("preview", {"body": "{}"}, "/body: "),
    ("preview", {"body": []}, "/body: "),
    ("preview", {"body": {"spec": {"kind": "nope"}}}, "#/spec/kind: "),
    ("preview", {"body": {"spec": {**SMALL, "epochs": "many"}}}, "#/spec/epochs: "),
    ("preview", {"body": {"spec": SMALL, "seeds": [-1]}}, "#/seeds/0: "),
    ("preview", {"body": {"spec": SMALL, "seeds": [0] * 100_000}}, "#/seeds"),
    ("preview", {"body": {"spec": SMALL, "sweep": {"model.width": [*range(1, 9_000)]}}}, "/sweep"),
    ("preview", {"body": {"spec": {**SMALL, "x" * 9_000: 1}}}, "#/spec/xxx"),
    ("preview", {"body": {"spec": {**SMALL, "x": HUGE * 2}}}, "payload-too-large (413)"),
    ("preview", {"body": {"spec": DEEP}}, "invalid"),
    ("submit", {"body": {"spec": SMALL}, "confirm": "yes"}, "/confirm: "),
    ("submit", {"body": {"spec": SMALL}, "confirm": 1}, "/confirm: "),
    ("submit", {"body": {"spec": SMALL}, "idempotency_key": "a b"}, "/idempotency_key: "),
    ("submit", {"body": {"spec": SMALL}, "idempotency_key": HUGE}, "/idempotency_key: "),
    ("submit", {"preset": "fig2", "scale": "paper"}, "/confirm: not submitted: it would take "),
    ("get", {"id": "exp_none"}, "not-found (404): there is no experiment 'exp_none'"),
    ("get", {"id": ""}, "/id: "),
    ("get", {"id": "../../etc/passwd"}, "/id: "),
    ("get", {"id": "..%2f..%2flimits"}, "/id: "),
    ("get", {"id": HUGE}, "/id: "),
    ("get", {"id": "exp_\x00"}, "/id: "),
    ("get", {"id": "exp_\n1"}, "/id: "),
    ("get", {"id": "exp_1\n"}, "/id: "),
    ("get", {"id": 7}, "/id: "),
    ("get", {"id": ["exp_1"]}, "/id: "),
    ("wait", {"id": "exp_none"}, "not-found (404)"),
    ("wait", {"id": "exp_none", "seconds": 1e9}, "/seconds: "),
    ("wait", {"id": "exp_none", "seconds": -1}, "/seconds: "),
    ("wait", {"id": "exp_none", "seconds": "1"}, "/seconds: "),
    ("result", {"id": "{queued}"}, "not-ready (409)"),
    ("result", {"id": "{queued}", "format": "pdf"}, "/format: "),
    ("metrics", {"id": "{queued}", "points": 1_000_000}, "/points: "),
    ("metrics", {"id": "{queued}", "points": -3}, "/points: "),
    ("metrics", {"id": "{queued}", "points": 1.5}, "/points: "),
    ("metrics", {"id": "{queued}", "names": ["a"] * 21}, "/names: "),
    ("metrics", {"id": "{queued}", "names": ["../x"]}, "/names/0: "),
    ("metrics", {"id": "{queued}", "names": [HUGE]}, "/names/0: "),
    ("comparison", {"id": "{queued}"}, "not-ready (409)"),
    ("comparison", {"id": "{queued}", "claim": -1}, "/claim: "),
    ("difference", {"id": "{queued}", "point": 10**7}, "/point: "),
    ("difference", {"id": "{queued}", "point": 5}, "there is no point 5"),
    ("plot", {"id": "{queued}", "name": "nothing"}, "not-found (404): there is no plot nothing"),
    ("plot", {"id": "{queued}", "name": "../result"}, "/name: "),
    ("plot", {"id": "{queued}", "name": "learning_curve", "width": "wall"}, "/width: "),
    ("report", {"id": "{queued}"}, "not-ready (409)"),
    ("report", {"id": "{queued}", "also": ["exp_none"]}, "there is no experiment 'exp_none'"),
    ("report", {"id": "{queued}", "also": ["exp_1"] * 8}, "/also: "),
    ("report", {"id": "{queued}", "also": ["../x"]}, "/also/0: "),
    ("cancel", {"id": "exp_none"}, "not-found (404)"),
    ("cancel", {}, "/id: Field required"),
]


async def refuse_hostile_arguments(session: Session, largest: float = math.inf) -> None:
    """Each wrong call fails with a short text that names the place; the server goes on.

    largest: bytes of the arguments that the transport passes on; larger ones are left out.
    """
    submitted = await session.answer("submit", body={"spec": {**SMALL, "epochs": 29}})
    queued = id_in(submitted)
    for tool, given, expected in HOSTILE:
        arguments = {
            name: queued if value == "{queued}" else value for name, value in given.items()
        }
        if len(json.dumps(arguments)) > largest:
            continue
        text = await session.refusal(tool, **arguments)
        case = f"{tool[:20]} {str(given)[:80]}: {text}"
        assert expected in text, case
        assert len(text) <= MAX_ERROR, case
        assert "Traceback" not in text, case
        assert "errors.pydantic.dev" not in text, case
    assert await session.answer("kinds"), "the server goes on"
