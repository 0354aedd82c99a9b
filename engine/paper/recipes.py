"""Make presets: the paper's training (Section 3) as a spec, and a body ready to submit.

Imports no torch. The kinds' `presets.py` call these functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from engine.kind import Preset
from engine.optim.spec import AdamSpec
from engine.paper.departures import PAPER_BATCH_SIZE, PAPER_SEEDS, RECIPES

TRAINING_ADAM_LR = 0.001
"""In place of the printed 0.1, at which all but the shallowest nets stay at chance."""

Scale = Literal["paper", "quick"]


def paper_spec(kind: str, data: str, model: Mapping[str, Any], /, **fields: Any) -> dict[str, Any]:
    """The spec of `kind` that trains `model` on `data` as the paper does.

    Two things differ from the paper: Adam's learning rate, and random crops and flips on CIFAR-10,
    without which its accuracies are not reached. data: `mnist`, `fashion_mnist` or `cifar10`.
    fields: further fields of the spec, or replacements of these.
    """
    recipe = RECIPES[data]
    optimizer = recipe.optimizer
    if isinstance(optimizer, AdamSpec):
        optimizer = optimizer.model_copy(update={"lr": TRAINING_ADAM_LR})
    images: dict[str, Any] = {"name": data}
    if recipe.train_size is not None:
        images["train_size"] = recipe.train_size
    if data == "cifar10":
        images["augmentation"] = "crop_flip"
    return {
        "kind": kind,
        "data": images,
        "model": dict(model),
        "optimizer": optimizer.model_dump(mode="json"),
        "schedule": recipe.schedule.model_dump(mode="json"),
        "epochs": recipe.epochs,
        "batch_size": PAPER_BATCH_SIZE,
        **fields,
    }


def make_preset(
    name: str,
    scale: Scale,
    title: str,
    description: str,
    spec: Mapping[str, Any],
    *,
    plots: Sequence[str],
    sweep: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] = tuple(range(PAPER_SEEDS)),
    execution: Mapping[str, Any] | None = None,
    departures: Sequence[str] = (),
    choices: Sequence[str] = (),
    experiment: str | None = None,
    claims: Sequence[Mapping[str, Any]] = (),
) -> Preset:
    """A body ready to submit.

    departures, choices: those that the spec does not show; `list_preset_departures` and
    `list_preset_choices` add the others.
    experiment: the experiment's name and so the title of its plots, where several figures draw one
    experiment; `title` by default. claims: of the submission; plots of the sweep show their
    quantities in the gallery.
    """
    axes = {path: list(values) for path, values in (sweep or {}).items()}
    body: dict[str, Any] = {"spec": dict(spec), "sweep": axes, "seeds": list(seeds)}
    if execution:
        body["execution"] = dict(execution)
    if claims:
        body["claims"] = [dict(claim) for claim in claims]
    body |= {"name": experiment or title, "labels": {"preset": name, "scale": scale}}
    return Preset(
        name=name,
        title=title,
        description=description,
        scale=scale,
        body=body,
        plots=tuple(plots),
        departures=tuple(departures),
        choices=tuple(choices),
    )
