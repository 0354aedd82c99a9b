"""The warnings of a preview."""

from __future__ import annotations

from api.experiments.plan import Plan
from engine.analysis.stats import warn_of_few_seeds
from engine.data.files import is_on_disk
from engine.data.spec import BUILTIN_DATASETS
from engine.models.spec import find_weights_file
from runtime.settings import Settings
from storage.database.engine import Session
from storage.runs.workers import count_listening, count_offered

DIVERGING_ADAM_LR = 0.05
"""Deep nets stay at chance at the paper's 0.1; all train at 0.001."""

MOST_TOLD = 20
"""Points whose own work is told, each text once"""


def list_warnings(session: Session, settings: Settings, plan: Plan) -> list[str]:
    """What a submission may fail on or wait for, and what weakens its answer."""
    found = [*plan.files.notes]
    listening = count_listening(session)
    device, seeds = plan.submission.execution.device, plan.seeds
    device_class = {"cpu": "cpu", "cuda": "gpu"}.get(device)
    if not (sum(listening.values()) if device_class is None else listening.get(device_class, 0)):
        what = "no worker" if device_class is None else f"no {device_class.upper()} worker"
        found.append(f"{what} listens: the runs wait until one does")
    else:
        offers = count_offered(session)
        for needs in dict.fromkeys(plan.needs):
            if not any(offered.fits(needs) for offered in offers):
                found.append(
                    f"no listening worker fits ({needs.describe()}): the runs wait until one does"
                )
                break
    found += dict.fromkeys(
        told
        for point in plan.points[:MOST_TOLD]
        for told in point.spec.describe_work(plan.info_of(point))
    )
    few = warn_of_few_seeds(len(seeds))
    if few:
        found.append(few)
    rates = sorted(
        {
            point.spec.optimizer.lr
            for point in plan.points
            if point.spec.optimizer.name == "adam" and point.spec.optimizer.lr >= DIVERGING_ADAM_LR
        }
    )
    if rates:
        shown = ", ".join(f"{rate:g}" for rate in rates)
        found.append(
            f"Adam at a learning rate of {shown} leaves all but the shallowest nets at chance"
        )
    if any(
        point.spec.output_scale is not None and point.spec.optimizer.name in ("adam", "adamw")
        for point in plan.points
    ):
        found.append(
            "Adam's steps hardly depend on the scale of the gradient, so output_scale moves a net "
            "between the regimes less than with SGD"
        )
    return [*found, *_list_missing_data(settings, plan), *_list_missing_weights(settings, plan)]


def _list_missing_data(settings: Settings, plan: Plan) -> list[str]:
    """A warning for each data set that a worker must download first."""
    folder = settings.resolved_data_dir
    names = dict.fromkeys(
        name for point in plan.points if (name := point.spec.data.name) in BUILTIN_DATASETS
    )
    what = (
        "a worker downloads it, unless it has it already"
        if settings.allow_download
        else "downloads are switched off: put its files there, or use `digits`"
    )
    return [
        f"the data set {name} is not in {folder}: {what}"
        for name in names
        if not is_on_disk(name, folder)
    ]


def _list_missing_weights(settings: Settings, plan: Plan) -> list[str]:
    """A warning for each file of pretrained weights that a worker must download first."""
    folder = settings.resolved_data_dir / "pretrained"
    files = dict.fromkeys(
        file
        for point in plan.points
        if (file := find_weights_file(point.spec.model, point.spec.init)) is not None
    )
    what = (
        "a worker downloads them, unless it has them already"
        if settings.allow_download
        else "downloads are switched off: put torchvision's file there"
    )
    return [
        f"the pretrained weights are not at {folder / file}: {what}"
        for file in files
        if not (folder / file).is_file()
    ]
