"""A kind of experiment, as data: its spec, its results, where its procedure lives. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.resources import files
from typing import Any, Literal, Protocol, cast

from engine.context import RunContext
from engine.paper.published import PublishedNumber
from engine.result import PointResult, SeedResult
from engine.spec import ExperimentSpec
from engine.tables import TextTable


@dataclass(frozen=True, slots=True)
class FinishedPoint:
    """One point and what its seeds gave, as handed to a summary."""

    index: int
    values: Mapping[str, Any]
    """The swept fields and their values, in the order of the sweep."""
    spec: ExperimentSpec
    results: Sequence[SeedResult]
    """One result a finished seed, by seed."""


@dataclass(frozen=True, slots=True)
class PlotInfo:
    """A plot that a kind can draw."""

    name: str
    title: str
    description: str
    default: bool = True
    """Written by exports and demos without being asked for."""
    view: Literal["figure", "table", "heatmap"] = "figure"
    """What a page may show beside the picture: the numbers as a table (`columns` and `points`), or maps to zoom into
    (every rectangular array of them)."""
    table_path: str | None = None
    """`package.module:function` that sets the numbers of a `table` in words, for HTML; CSV is made of them as they are."""

    def load_table(self) -> Callable[[Mapping[str, Any]], TextTable] | None:
        """Import and return what sets the table, or None where the plot is none."""
        if self.table_path is None:
            return None
        return cast(Callable[[Mapping[str, Any]], TextTable], _load(self.table_path))


@dataclass(frozen=True, slots=True)
class Preset:
    """A named body, ready to submit: a figure or table of the paper, or the demo."""

    name: str
    title: str
    description: str
    scale: Literal["paper", "quick"]
    body: Mapping[str, Any]
    plots: tuple[str, ...]
    """The kind's plots that match the figure."""
    deviations: tuple[str, ...] = ()
    """Where this scale departs from the paper in what the spec does not show."""


class PlotInput(Protocol):
    """Stored results, as a plot reads them: no torch, no GPU, complete or partial."""

    @property
    def title(self) -> str: ...

    @property
    def points(self) -> Sequence[FinishedPoint]:
        """Every point of the experiment; `results` holds the seeds finished so far."""
        ...

    @property
    def summary(self) -> Sequence[PointResult]:
        """The kind's summary of the points that have at least one finished seed."""
        ...

    def read_metric(
        self, name: str
    ) -> Mapping[int, Mapping[int, Sequence[tuple[int, float | None]]]]:
        """A metric's (step, value) series by point index and seed, also of runs still going."""
        ...

    def read_artifact(self, point_index: int, seed: int, name: str) -> bytes | None:
        """An artifact's bytes, or None while there is none."""
        ...


class RunProcedure(Protocol):
    def __call__(self, spec: Any, ctx: RunContext) -> Sequence[SeedResult]:
        """Execute one point for the seeds of `ctx.seeds`; one result a seed, in their order."""
        ...


class JudgeProcedure(Protocol):
    def __call__(
        self, points: Sequence[FinishedPoint], summary: Sequence[PointResult]
    ) -> Sequence[Any]:
        """A verdict (`engine.paper.verdict.Verdict`) on each of the paper's claims that these points can speak to.

        summary: the kind's result of every point with results, in their order.
        """
        ...


class PlotProcedures(Protocol):
    """A kind's `plots` module."""

    def numbers(self, name: str, source: PlotInput) -> dict[str, Any]:
        """Exactly the numbers that the plot draws, as JSON."""
        ...

    def draw(self, name: str, numbers: Mapping[str, Any], options: Any) -> Any:
        """A matplotlib Figure of those numbers."""
        ...


def no_presets() -> Sequence[Preset]:
    return ()


def nothing_published(spec: ExperimentSpec) -> Sequence[PublishedNumber]:
    return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind: everything the outside needs to offer, run, summarise and draw one type of study."""

    name: str
    title: str
    description: str
    spec: type[ExperimentSpec]
    seed_result: type[SeedResult]
    point_result: type[PointResult]
    summarize: Callable[[Sequence[FinishedPoint]], list[PointResult]]
    plots: tuple[PlotInfo, ...]
    run_path: str
    """`package.module:function` of the procedure (imports torch)."""
    plots_path: str
    """`package.module` of the drawings (imports matplotlib)."""
    example: Mapping[str, Any]
    """A body that runs as it stands, small enough to try."""
    presets: Callable[[], Sequence[Preset]] = field(default=no_presets)
    judge_path: str | None = None
    """`package.module:function` that compares finished points with the paper's claims; None where no claim is about
    this kind."""
    list_published: Callable[[ExperimentSpec], Sequence[PublishedNumber]] = field(
        default=nothing_published
    )
    """The numbers that the paper prints about the results of a spec; parameter counts are added for every kind."""

    def load_run(self) -> RunProcedure:
        """Import and return the procedure; the first call imports torch."""
        return cast(RunProcedure, _load(self.run_path))

    def load_judge(self) -> JudgeProcedure | None:
        """Import and return the judge, or None where the paper claims nothing that this kind measures. Torch-free."""
        if self.judge_path is None:
            return None
        return cast(JudgeProcedure, _load(self.judge_path))

    def read_page(self) -> str:
        """The kind's README: what is measured, by which formula (Markdown)."""
        return (files(self.plots_path.rpartition(".")[0]) / "README.md").read_text(encoding="utf-8")

    def load_plots(self) -> PlotProcedures:
        """Import and return the drawings; the first call imports matplotlib."""
        return cast(PlotProcedures, import_module(self.plots_path))


def _load(path: str) -> Any:
    """What `package.module:name` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
