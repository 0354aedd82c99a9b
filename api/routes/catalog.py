"""The catalog: kinds, presets, readings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query

from api.http.problems import ProblemRaised
from api.http.request_work import Router
from engine.experiments.registry import kinds, presets
from engine.kind import Kind, Preset
from engine.paper.preset_departures import list_preset_choices, list_preset_departures
from engine.paper.preset_readings import apply_reading, find_preset_reading
from engine.paper.readings import READINGS, Reading, ReadingName
from schemas.base import Page
from schemas.catalog import (
    KindResource,
    PresetResource,
    ReadingResource,
)
from schemas.problems import ProblemCode

router = Router(tags=["catalog"])


@router.get("/kinds")
def list_kinds() -> Page[KindResource]:
    """List the kinds: spec, result, plots, and an example that is ready to submit."""
    return Page[KindResource](items=[_describe_kind(kind) for kind in kinds().values()])


@router.get("/kinds/{kind}")
def get_kind(kind: str) -> KindResource:
    """One kind."""
    if kind not in kinds():
        raise ProblemRaised(
            404,
            ProblemCode.NOT_FOUND,
            f"there is no kind {kind[:80]!r}; known: {', '.join(kinds())}",
        )
    return _describe_kind(kinds()[kind])


def _describe_kind(kind: Kind) -> KindResource:
    return KindResource(
        name=kind.name,
        title=kind.title,
        description=kind.description,
        spec_schema=kind.spec.model_json_schema(),
        result_schema=kind.point_result.model_json_schema(),
        plots=[plot.name for plot in kind.plots],
        example=dict(kind.example),
        page=kind.read_page(),
    )


PresetScale = Annotated[
    Literal["paper", "quick"] | None,
    Query(description="`paper` is the protocol's grid, `quick` a small one."),
]
ReadingQuery = Annotated[
    ReadingName | None,
    Query(description="A reading of the paper's open choices: `GET /readings`."),
]
LiteralQuery = Annotated[
    bool, Query(description="The old name of `reading=printed`.", deprecated=True)
]


@router.get("/presets")
def list_presets(
    scale: PresetScale = None, reading: ReadingQuery = None, literal: LiteralQuery = False
) -> Page[PresetResource]:
    """List the presets: bodies that are ready to submit, by name and scale."""
    wanted = _choose_reading(reading, literal)
    chosen = [preset for preset in presets().values() if scale in (None, preset.scale)]
    return Page[PresetResource](items=[_describe_preset(preset, wanted) for preset in chosen])


@router.get("/presets/{name}.json")
def get_preset_body(
    name: str, scale: PresetScale = None, reading: ReadingQuery = None
) -> dict[str, Any]:
    """The body of a preset alone, ready to POST to /experiments."""
    preset = _find_preset(name, scale)
    return dict((preset if reading is None else apply_reading(preset, reading)).body)


@router.get("/presets/{name}")
def get_preset(
    name: str,
    scale: PresetScale = None,
    reading: ReadingQuery = None,
    literal: LiteralQuery = False,
) -> PresetResource:
    """One preset; its `body` is ready to submit. Without `scale`: `quick` if there is one."""
    return _describe_preset(_find_preset(name, scale), _choose_reading(reading, literal))


def _find_preset(name: str, scale: Literal["paper", "quick"] | None) -> Preset:
    found = [preset for (its_name, _), preset in presets().items() if its_name == name]
    chosen = [preset for preset in found if preset.scale == (scale or "quick")] or (
        found if scale is None else []
    )
    if not chosen:
        known = ", ".join(
            sorted({f"{its_name} ({its_scale})" for its_name, its_scale in presets()})
        )
        raise ProblemRaised(
            404,
            ProblemCode.NOT_FOUND,
            f"there is no preset {name[:80]!r} at that scale; known: {known}",
        )
    return chosen[0]


@router.get("/readings")
def list_readings() -> Page[ReadingResource]:
    """List the readings of the paper: what each takes its open choices to be."""
    return Page[ReadingResource](items=[_describe_reading(one) for one in READINGS])


def _describe_reading(reading: Reading) -> ReadingResource:
    return ReadingResource(name=reading.name, sentence=reading.sentence, fields=reading.fields)


def _choose_reading(reading: ReadingName | None, is_literal: bool) -> ReadingName | None:
    if is_literal and reading not in (None, "printed"):
        raise ProblemRaised(
            422,
            ProblemCode.INVALID_REQUEST,
            f"literal=true is the old name of reading=printed, but reading is {reading!r}; leave "
            "one of them out",
        )
    return "printed" if is_literal else reading


def _describe_preset(preset: Preset, reading: ReadingName | None) -> PresetResource:
    if reading is not None:
        preset = apply_reading(preset, reading)
    return PresetResource(
        name=preset.name,
        scale=preset.scale,
        title=preset.title,
        description=preset.description,
        kind=preset.body["spec"]["kind"],
        plots=list(preset.plots),
        reading=find_preset_reading(preset),
        departures=list(list_preset_departures(preset)),
        choices=list(list_preset_choices(preset)),
        body=dict(preset.body),
    )
