"""The page `/submit`: the form of a new experiment."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import Response

from api.dependencies import StateDep
from api.experiments.body import submission_body
from api.http.request_work import Router
from api.web.code_snippets import format_body
from api.web.formatting import title_of
from api.web.templating import render
from engine.experiments.registry import kinds, presets
from engine.kind import Preset
from engine.paper.readings import READINGS
from storage.experiments import find
from storage.experiments.resources import to_resource

router = Router(include_in_schema=False)

Example = tuple[str, str, str, str]
"""(key, title, body as JSON, description)"""


@router.get("/submit")
def show_submit(
    request: Request,
    state: StateDep,
    preset: Annotated[str | None, Query(max_length=100)] = None,
    scale: Annotated[str, Query(max_length=20)] = "quick",
    kind: Annotated[str | None, Query(max_length=64)] = None,
    source: Annotated[str | None, Query(alias="from", max_length=80)] = None,
) -> Response:
    """The form, filled from a kind's example, a preset or an earlier experiment."""
    groups: dict[str, list[Example]] = {}
    chosen = f"kind:{kind}" if kind else f"preset:{preset}:{scale}" if preset else ""
    if source is not None:
        with state.db.read() as session:
            earlier = to_resource(session, find.get_experiment(session, source))
        chosen = f"from:{source}"
        body = format_body(submission_body(earlier, omit_defaults=True))
        groups["An earlier experiment"] = [(chosen, title_of(earlier), body, "")]
    groups["Examples, seconds to a minute"] = [
        (f"kind:{one.name}", one.title, format_body(one.example), one.description)
        for one in kinds().values()
    ]
    for preset_scale in ("quick", "paper"):
        examples = _list_presets(preset_scale)
        if examples:
            groups[f"Presets, {preset_scale} scale"] = examples
    return render(request, "submit.html", examples=groups, chosen=chosen, readings=READINGS)


def _list_presets(scale: str) -> list[Example]:
    return [
        (
            f"preset:{one.name}:{one.scale}",
            f"{one.name}: {one.title}",
            format_body(one.body),
            _describe(one),
        )
        for one in presets().values()
        if one.scale == scale
    ]


def _describe(preset: Preset) -> str:
    if not preset.departures:
        return preset.description
    return f"{preset.description} Differs from the paper: {'; '.join(preset.departures)}."
