"""Run an experiment without the service: its runs store everything in a folder."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.context import FinishedTraining, ResumeState
from engine.data.npz import find_npz, inspect_npz
from engine.data.spec import BUILTIN_DATASETS
from engine.drawing.fitting import draw_plot
from engine.errors import InvalidSpec, OutputInUse, RunInterrupted, WeightsUnavailable
from engine.experiments.registry import get_kind
from engine.kind import FinishedPoint, Kind, PlotInput
from engine.plot_numbers import ChosenInput, plot_numbers
from engine.plotting import PlotOptions, save
from engine.result import PointResult, SeedResult
from engine.shared_trainings import find_shared
from engine.spec import Execution, KeptCheckpoints, canonical_json
from engine.spec_checks import check_spec
from engine.sweep import SweepPoint, expand
from engine.timing import monotonic

Series = dict[str, dict[int, float | None]]


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file: readers see the old bytes or the new ones, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


class LocalRunContext:
    """`RunContext` over one folder: the run of one point with all its seeds.

    After a kill, a new context over the folder resumes from the last save.
    """

    def __init__(
        self,
        folder: Path,
        seeds: Sequence[int],
        execution: Execution,
        *,
        data_dir: Path,
        allow_download: bool = True,
        save_every_seconds: float = 10.0,
        shared_checkpoints: KeptCheckpoints = KeptCheckpoints(),
        shared_with: Sequence[Path] = (),
        deadline: float | None = None,
    ) -> None:
        """shared_with: folders of earlier points that train the same net.

        deadline: the time of `monotonic()` after which the next step saves and raises
        RunInterrupted; None sets no limit.
        """
        assert execution.device != "auto"
        self.run_id = folder.name
        self.seeds = tuple(seeds)
        self.execution = execution
        self.data_dir = data_dir
        self.allow_download = allow_download
        self.events: list[dict[str, Any]] = []
        self.progress = 0.0
        self.shared_checkpoints = shared_checkpoints
        self._folder, self._shared_with = folder, tuple(shared_with)
        self._save_every, self._deadline = save_every_seconds, deadline
        self._saved_at = monotonic()
        self._metrics: dict[int, Series] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def registered_dataset(self, name: str) -> Path | None:
        return None

    def read_checkpoint(self, reference: str) -> bytes:
        try:
            return Path(reference).read_bytes()
        except OSError as error:
            raise WeightsUnavailable(
                f"the checkpoint {reference!r} cannot be read: {error}"
            ) from None

    def log_metrics(self, seed: int, step: int, values: Mapping[str, float | None]) -> None:
        for name, value in values.items():
            self._metrics.setdefault(seed, {}).setdefault(name, {})[step] = value

    def report_progress(self, completed: float, total: float, unit: str) -> None:
        self.progress = completed / total

    def log_event(self, name: str, data: Mapping[str, Any]) -> None:
        self.events.append({"name": name, **data})

    def check(self) -> None:
        """Nothing cancels a local run; Ctrl-C raises KeyboardInterrupt."""

    def should_save(self) -> bool:
        return self._is_late() or monotonic() - self._saved_at >= self._save_every

    def _is_late(self) -> bool:
        return self._deadline is not None and monotonic() > self._deadline

    def save_resume(self, resume: ResumeState) -> None:
        state = {
            "step": resume.step,
            "state": dict(resume.state),
            "metrics": _with_text_keys(self._metrics),
        }
        write_atomically(self._folder / f"resume-{resume.step}.safetensors", resume.tensors)
        write_atomically(self._folder / "resume.json", json.dumps(state).encode())
        for path in self._folder.glob("resume-*.safetensors"):
            if path.name != f"resume-{resume.step}.safetensors":
                path.unlink()
        self._saved_at = monotonic()
        if self._is_late():
            raise RunInterrupted("the time limit is reached; the same call continues")

    def load_resume(self) -> ResumeState | None:
        path = self._folder / "resume.json"
        if not path.exists():
            return None
        state = json.loads(path.read_text())
        self._metrics = _with_number_keys(state["metrics"])
        tensors = (self._folder / f"resume-{state['step']}.safetensors").read_bytes()
        return ResumeState(state["step"], tensors, state["state"])

    def save_checkpoint(self, name: str, seed: int, epoch: int, data: bytes) -> None:
        write_atomically(_checkpoint_path(self._folder, name, seed), data)

    def save_artifact(self, name: str, seed: int | None, media_type: str, data: bytes) -> None:
        write_atomically(self._folder / artifact_name(name, seed), data)

    def load_checkpoint(self, name: str, seed: int) -> bytes:
        return _checkpoint_path(self._folder, name, seed).read_bytes()

    def find_training(
        self, digest: str, seed: int, names: Sequence[str] = ()
    ) -> FinishedTraining | None:
        for folder in (self._folder, *self._shared_with):
            found = _read_training(folder, digest, seed, names)
            if found is None:
                continue
            if folder == self._folder:
                # The resume state can be older than the training: what the training logged wins.
                series = self._metrics.setdefault(seed, {})
                for name, step, value in found.metrics:
                    series.setdefault(name, {})[step] = value
            return found
        return None

    def register_training(self, digest: str, seed: int, result: Mapping[str, Any]) -> None:
        metrics = _with_text_keys({seed: self._metrics.get(seed, {})})[str(seed)]
        stored = {"digest": digest, "result": dict(result), "metrics": metrics}
        write_atomically(self._folder / f"training-seed{seed}.json", json.dumps(stored).encode())

    def metrics(self) -> Mapping[int, Series]:
        """Values by seed, name and step."""
        return self._metrics

    def read_artifact(self, seed: int, name: str) -> bytes | None:
        path = self._folder / artifact_name(name, seed)
        return path.read_bytes() if path.exists() else None


def _checkpoint_path(folder: Path, name: str, seed: int) -> Path:
    return folder / f"{name}-seed{seed}.safetensors"


def _read_training(
    folder: Path, digest: str, seed: int, names: Sequence[str]
) -> FinishedTraining | None:
    """The folder's training with this digest that has kept the checkpoints `names`, or None."""
    path = folder / f"training-seed{seed}.json"
    if not path.exists():
        return None
    stored = json.loads(path.read_text())
    files = {name: _checkpoint_path(folder, name, seed) for name in ("theta_0", "theta_T", *names)}
    if stored["digest"] != digest or not all(file.exists() for file in files.values()):
        return None
    data = {name: file.read_bytes() for name, file in files.items()}
    metrics = [
        (name, step, value)
        for name, values in _with_number_keys({str(seed): stored["metrics"]})[seed].items()
        for step, value in sorted(values.items())
    ]
    theta_0, theta_T = data.pop("theta_0"), data.pop("theta_T")
    return FinishedTraining(folder.name, theta_0, theta_T, stored["result"], metrics, data)


def artifact_name(name: str, seed: int | None) -> str:
    """The file name of an artifact: `counts.npz` of seed 3 is `counts-seed3.npz`."""
    stem, dot, ending = name.partition(".")
    return name if seed is None else f"{stem}-seed{seed}{dot}{ending}"


def _with_text_keys(metrics: Mapping[int, Series]) -> dict[str, Any]:
    return {
        str(seed): {
            name: {str(step): value for step, value in points.items()}
            for name, points in series.items()
        }
        for seed, series in metrics.items()
    }


def _with_number_keys(stored: Mapping[str, Any]) -> dict[int, Series]:
    return {
        int(seed): {
            name: {int(step): value for step, value in points.items()}
            for name, points in series.items()
        }
        for seed, series in stored.items()
    }


@dataclass(slots=True)
class LocalExperiment:
    """An experiment in a folder; implements `PlotInput`."""

    title: str
    points: list[FinishedPoint]
    contexts: list[LocalRunContext]
    summary: list[PointResult] = field(default_factory=list)
    is_complete: bool = True
    """Whether every point was computed within the time limit."""
    values: Sequence[Mapping[str, Any]] = ()
    """Of every point, computed or not; those of `points` where none are given."""

    def __post_init__(self) -> None:
        self.values = self.values or [point.values for point in self.points]

    @property
    def specs(self) -> Sequence[Mapping[str, Any]]:
        return [point.spec.model_dump(mode="json") for point in self.points]

    @property
    def point_results(self) -> Sequence[Mapping[str, Any]]:
        return [result.model_dump(mode="json") for result in self.summary]

    def choose(self, indices: Sequence[int]) -> PlotInput:
        return ChosenInput(self, indices)

    def read_metric(
        self, name: str
    ) -> Mapping[int, Mapping[int, Sequence[tuple[int, float | None]]]]:
        return {
            point.index: {
                seed: sorted(series.get(name, {}).items()) for seed, series in ctx.metrics().items()
            }
            for point, ctx in zip(self.points, self.contexts, strict=True)
        }

    def read_artifact(self, point_index: int, seed: int, name: str) -> bytes | None:
        return self.contexts[point_index].read_artifact(seed, name)


def _require_valid(points: Sequence[SweepPoint], data_dir: Path) -> None:
    """Raises InvalidSpec with the errors of all points, also on `.npz` files of the data folder."""
    infos = dict(BUILTIN_DATASETS)
    for name in {point.spec.data.name for point in points} - infos.keys():
        path = find_npz(name, data_dir, lambda name: None)
        if path is not None:
            infos[name] = inspect_npz(path, name, pointer="#/spec/data/name")
    errors = [
        point.locate(error)
        for point in points
        if (info := infos.get(point.spec.data.name)) is not None
        for error in check_spec(point.spec, info)
    ]
    if errors:
        raise InvalidSpec(errors)


def run_local(
    body: Mapping[str, Any],
    out: Path,
    *,
    seeds: Sequence[int],
    data_dir: Path,
    device: str,
    allow_download: bool = True,
    deadline: float | None = None,
) -> LocalExperiment:
    """Run every point of `body` and write results, metrics and plots to `out`.

    body: `{"spec", "sweep", "execution"}` or a bare spec. A repeated call with the same `out`
    resumes from the last save. deadline: see `LocalRunContext`; the points that are computed by
    then are written. Raises EngineError.
    """
    spec, sweep = (body["spec"], body.get("sweep", {})) if "spec" in body else (body, {})
    execution = Execution.model_validate({**body.get("execution", {}), "device": device})
    swept = expand(spec, sweep)
    kind = get_kind(swept[0].spec.kind)
    _require_valid(swept, data_dir)
    points: list[FinishedPoint] = []
    contexts: list[LocalRunContext] = []
    for index, point in enumerate(swept):
        _claim_folder(out / f"point{index}", point, execution)
    shared = find_shared([point.spec for point in swept], execution)
    for index, point in enumerate(swept):
        ctx = LocalRunContext(
            out / f"point{index}",
            seeds,
            execution,
            data_dir=data_dir,
            allow_download=allow_download,
            shared_checkpoints=(
                shared[index].checkpoints if index in shared else KeptCheckpoints()
            ),
            shared_with=[
                out / f"point{other}"
                for other in range(index)
                if index in shared and shared.get(other) == shared[index]
            ],
            deadline=deadline,
        )
        try:
            results = _run_point(point, ctx)
        except RunInterrupted:
            break
        points.append(FinishedPoint(index, point.values, point.spec, results))
        contexts.append(ctx)
    title = str(body.get("name") or kind.title)
    is_complete = len(points) == len(swept)
    values = [point.values for point in swept]
    experiment = LocalExperiment(title, points, contexts, is_complete=is_complete, values=values)
    if not points:
        return experiment
    experiment.summary = kind.summarize(points)
    _write_results(experiment, kind.name, len(seeds), out)
    _write_plots(experiment, kind, out)
    return experiment


def _claim_folder(folder: Path, point: SweepPoint, execution: Execution) -> None:
    """Note which spec the folder is for. Raises OutputInUse if it holds results of another one."""
    identity = {"digest": point.spec.digest(), "execution": execution.model_dump(mode="json")}
    path = folder / "identity.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, canonical_json(identity).encode())
    elif json.loads(path.read_text()) != identity:
        raise OutputInUse(
            f"{folder} holds the results of another spec or execution; choose another folder"
        )


def _run_point(point: SweepPoint, ctx: LocalRunContext) -> Sequence[SeedResult]:
    return get_kind(point.spec.kind).load_run()(point.spec, ctx)


def _write_results(experiment: LocalExperiment, kind: str, num_seeds: int, out: Path) -> None:
    point_results = [result.model_dump(mode="json") for result in experiment.summary]
    result = {"kind": kind, "points": point_results, "seeds": num_seeds, "reused": []}
    write_atomically(out / "result.json", json.dumps(result, indent=2, allow_nan=False).encode())
    with (out / "metrics.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["point", "seed", "name", "step", "value"])
        for point, ctx in zip(experiment.points, experiment.contexts, strict=True):
            for seed, series in sorted(ctx.metrics().items()):
                for name, values in sorted(series.items()):
                    for step, value in sorted(values.items()):
                        writer.writerow(
                            [point.index, seed, name, step, "" if value is None else repr(value)]
                        )


def _write_plots(experiment: LocalExperiment, kind: Kind, out: Path) -> None:
    """The default plots that apply: pictures of a chosen few of many points, numbers of all."""
    options = PlotOptions()
    for plot in kind.plots:
        if not plot.default or plot.explain_absence(experiment) is not None:
            continue
        numbers = plot_numbers(kind, plot.name, experiment)
        shown = plot_numbers(kind, plot.name, experiment, for_picture=True)
        write_atomically(out / f"{plot.name}.json", canonical_json(numbers).encode())
        figure = draw_plot(kind.load_plots(), plot.name, shown, options)
        write_atomically(out / f"{plot.name}.png", save(figure, "png", options))
