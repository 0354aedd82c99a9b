"""Actions on many experiments, by their ids or by a filter."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, Strict, StringConstraints, model_validator

from schemas.base import Request, Resource
from schemas.status import ExperimentStatus
from schemas.submission import MAX_LABELS, Label

MAX_ACTED = 200
"""Experiments of one request"""
MAX_LABEL_FILTER = 301
"""A key of 100 characters, each with a backslash before it, a colon, and a value of 100"""


class ExperimentFilter(Request):
    """The filters of `GET /experiments`; every one that is given must match."""

    kind: Annotated[str, StringConstraints(max_length=64)] | None = None
    status: Annotated[ExperimentStatus, Strict(False)] | None = None
    label: Annotated[str, StringConstraints(max_length=MAX_LABEL_FILTER)] | None = None
    r"""`key` or `key:value`. In the key, `\:` is a colon and `\\` a backslash."""
    name: Annotated[str, StringConstraints(max_length=200)] | None = None
    q: Annotated[str, StringConstraints(max_length=200)] | None = None
    """Text in the name or id; case is ignored."""


class Selection(Request):
    """Which experiments an action is for: `ids`, or `filter`."""

    ids: list[Annotated[str, StringConstraints(max_length=40)]] | None = Field(
        None, min_length=1, max_length=MAX_ACTED
    )
    filter: ExperimentFilter | None = None
    dry_run: bool = False
    """Only tell what would be done."""

    @model_validator(mode="after")
    def _is_either(self) -> Any:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give either `ids` or `filter`")
        if self.filter is not None and not self.filter.model_fields_set:
            raise ValueError("a filter needs at least one field; an empty one would match all")
        return self


class Labelling(Selection):
    """Experiments, and the labels that they get."""

    labels: dict[Label, Label | None] = Field(min_length=1, max_length=MAX_LABELS)
    """Other labels stay; null removes a label."""


class ActionOutcome(StrEnum):
    DONE = "done"
    """In a dry run: would be done"""
    UNCHANGED = "unchanged"
    """Nothing is to be done, such as cancelling a cancelled experiment"""
    REFUSED = "refused"


class ActedExperiment(Resource):
    """What was done, or would be, with one experiment."""

    id: str
    title: str | None
    """Its name, or what differs from the defaults; null for an unknown id."""
    status: ExperimentStatus | None
    """Before the action."""
    outcome: ActionOutcome
    detail: str
    """What the action changes, or why it changes nothing."""
    bytes: int = 0
    """That a deletion frees."""


class ActionReport(Resource):
    """An action on many experiments; each is a transaction of its own."""

    dry_run: bool
    items: list[ActedExperiment]
    counts: dict[ActionOutcome, int]
    bytes: int
    """That deletions free."""
