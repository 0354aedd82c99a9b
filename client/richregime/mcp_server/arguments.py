"""The arguments of each tool: what it accepts, with bounds, and what it tells of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

ExperimentId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=64),
    Field(description="Id of an experiment: exp_..."),
]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]+$", max_length=100)]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
Body = Annotated[
    dict[str, Any] | None,
    Field(
        description="The experiment: "
        '{"spec": {"kind": ..., other fields}, "sweep": {"model.width": [10, 100]}, '
        '"seeds": [0, 1, 2, 3, 4], "name": ..., "labels": {...}}. All but spec.kind has defaults. '
        'With "claims": [{"name": ..., "quantity": "test_accuracy", "point": 1, "versus": 0, '
        '"at_least": 0.01}] it states in advance what it will find (at_least, at_most or within).'
    ),
]
Preset = Annotated[
    Word | None, Field(description="Instead of a body: the name of a preset, such as fig2.")
]
Scale = Annotated[
    Literal["quick", "paper"], Field(description="Of the preset: small, or as in the paper.")
]
Reading = Annotated[
    Word | None,
    Field(
        description="Of the preset: one reading of the paper's open choices: printed, trainable, "
        "first_epoch, few_steps."
    ),
]
Offset = Annotated[
    int,
    Field(ge=0, le=1_000_000_000, description="Where a cut answer goes on; its end tells it."),
]
MAX_WAIT_SECONDS = 55
"""Programs give a call up after 60 seconds, unless they are told otherwise."""
Number = Annotated[int, Field(ge=0, le=1_000_000)]


class Arguments(BaseModel):
    """Arguments of a tool; others are errors, and no value is converted to another type."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    offset: Offset = 0


class NoArguments(Arguments):
    pass


class ModelsArguments(Arguments):
    name: Annotated[
        Name | None, Field(description="One model, with its layers; all without it.")
    ] = None
    dataset: Annotated[Name, Field(description="The data set that the one model takes.")] = "digits"
    fields: Annotated[
        dict[str, Any],
        Field(description='Other fields of the one model, such as {"width": 100}.', max_length=20),
    ] = Field(default_factory=dict)


class PresetsArguments(Arguments):
    name: Annotated[
        Word | None, Field(description="One preset, with its body; all without it.")
    ] = None
    scale: Scale = "quick"
    reading: Reading = None


class DescribeArguments(Arguments):
    kind: Annotated[Word, Field(description="Name of a kind; `kinds` lists them.")]
    field: Annotated[
        Word | None,
        Field(
            description="One field of the spec, such as optimizer, with the fields of its variants."
        ),
    ] = None


class PreviewArguments(Arguments):
    body: Body = None
    preset: Preset = None
    scale: Scale = "quick"
    reading: Reading = None

    @model_validator(mode="after")
    def _require_one(self) -> PreviewArguments:
        if (self.body is None) == (self.preset is None):
            raise ValueError("give exactly one of body and preset")
        return self


class SubmitArguments(PreviewArguments):
    confirm: Annotated[
        bool,
        Field(description="True after your user agreed to a price above the limit."),
    ] = False
    idempotency_key: Annotated[
        Word | None,
        Field(
            description="The same key and body return the same experiment; one is made from the "
            "body where reuse is false."
        ),
    ] = None


class GetArguments(Arguments):
    id: Annotated[
        ExperimentId | None, Field(description="One experiment; without it the newest 20.")
    ] = None


class OneArguments(Arguments):
    id: ExperimentId


class WaitArguments(OneArguments):
    seconds: Annotated[
        float,
        Field(
            ge=0,
            le=MAX_WAIT_SECONDS,
            allow_inf_nan=False,
            description="The longest wait; the experiment goes on after it.",
        ),
    ] = 50.0


class ResultArguments(OneArguments):
    format: Annotated[
        Literal["markdown", "csv", "json"],
        Field(description="markdown and csv: the answer to the kind's question; json: everything."),
    ] = "markdown"


class MetricsArguments(OneArguments):
    names: Annotated[
        list[Word], Field(description="Only these metrics; all without it.", max_length=20)
    ] = Field(default_factory=list)
    points: Annotated[
        int, Field(ge=2, le=200, description="Most steps of each series; others are left out.")
    ] = 12
    by_seed: Annotated[
        bool, Field(description="Each seed's values instead of means over the seeds.")
    ] = False


class ComparisonArguments(OneArguments):
    claim: Annotated[
        Number | None, Field(description="Only this claim, with the findings of its verdict.")
    ] = None


class DifferenceArguments(OneArguments):
    point: Annotated[Number, Field(description="Index of a point of the experiment, from 0.")]
    baseline: Annotated[Number, Field(description="Index of the point to subtract.")] = 0


class ReportArguments(OneArguments):
    also: Annotated[
        list[ExperimentId],
        Field(description="Further experiments of the same report.", max_length=7),
    ] = Field(default_factory=list)


class PlotArguments(OneArguments):
    name: Annotated[
        Word | None, Field(description="Name of the plot; without it a list of the plots.")
    ] = None
    width: Annotated[
        Literal["column", "text", "slide"], Field(description="Layout: 3.25, 6.75 or 10 inches.")
    ] = "text"
    quantity: Annotated[
        Word | None,
        Field(description="Of a plot of the sweep: the number to draw, one that the list names."),
    ] = None
