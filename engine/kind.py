"""The description of a kind: its spec, results, plots and procedure. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.resources import files
from typing import Any, Literal, Protocol, cast

from engine.answers import AnswerColumn, list_columns, list_statistics
from engine.context import RunContext
from engine.data.spec import DatasetInfo
from engine.paper.published import PublishedNumber
from engine.probes.quantities import list_probe_columns
from engine.result import PointResult, SeedResult
from engine.spec import ExperimentSpec
from engine.tables import TextTable


@dataclass(frozen=True, slots=True)
class FinishedPoint:
    """One point and the results of its finished seeds: the input of summaries and plots."""

    index: int
    values: Mapping[str, Any]
    """The swept fields and their values, in the order of the sweep."""
    spec: ExperimentSpec
    results: Sequence[SeedResult]
    """One result per finished seed, sorted by seed."""


@dataclass(frozen=True, slots=True)
class PlotInfo:
    """A plot that a kind can draw."""

    name: str
    title: str
    description: str
    default: bool = True
    """Whether exports and demos include it by default."""
    view: Literal["figure", "table", "heatmap"] = "figure"
    """What a page may show with the picture: the numbers as a table (`columns` and `points`), or
    every rectangular array of them as a zoomable heatmap."""
    table_path: str | None = None
    """`package.module:function` that formats the numbers of a `table` for HTML; CSV holds them
    unformatted."""
    find_obstacle: Callable[[PlotInput], str | None] | None = None
    """Why the plot shows nothing of an experiment, however its runs end; None where it does."""
    draws_all: bool = False
    """Whether it always shows every point, so that a reader chooses none."""
    most_points: int | None = 12
    """Of more points a picture shows a chosen few; None where the plot itself chooses."""
    is_of_sweep: bool = False
    """Whether it shows a quantity over the sweep, of any kind."""
    is_answer: bool = False
    """Whether it is the answer of its kind, which a page shows before all tables."""

    def explain_absence(self, source: PlotInput) -> str | None:
        """Why the plot shows nothing of the experiment, as a sentence part; None where it does."""
        return None if self.find_obstacle is None else self.find_obstacle(source)

    def load_table(self) -> Callable[[Mapping[str, Any]], TextTable] | None:
        """Import and return the function that formats the table; None for other plots."""
        if self.table_path is None:
            return None
        return cast(Callable[[Mapping[str, Any]], TextTable], _load(self.table_path))


@dataclass(frozen=True, slots=True)
class Preset:
    """A named experiment, ready to submit: a figure or table of the paper, or the demo."""

    name: str
    title: str
    description: str
    scale: Literal["paper", "quick"]
    body: Mapping[str, Any]
    plots: tuple[str, ...]
    """The plots of the kind that match the figure."""
    departures: tuple[str, ...] = ()
    """Departures of this scale from the paper that the spec does not show."""
    choices: tuple[str, ...] = ()
    """What the preset chooses where the paper is silent, and the spec does not show."""


class PlotInput(Protocol):
    """Stored results, complete or partial: the input of a plot. Needs no torch and no GPU."""

    @property
    def title(self) -> str: ...

    @property
    def points(self) -> Sequence[FinishedPoint]:
        """Every point of the experiment; `results` holds the seeds that have finished."""
        ...

    @property
    def summary(self) -> Sequence[PointResult]:
        """The kind's summary of the points that have at least one finished seed."""
        ...

    @property
    def values(self) -> Sequence[Mapping[str, Any]]:
        """The swept fields and values of every point of the experiment, by index.

        Also of points that are not in `points`, where these are a choice.
        """
        ...

    @property
    def specs(self) -> Sequence[Mapping[str, Any]]:
        """The spec of every such point as JSON; cheaper than `points`, which reads results."""
        ...

    @property
    def point_results(self) -> Sequence[Mapping[str, Any]]:
        """The summary as JSON, of all points of the experiment that have a finished seed."""
        ...

    def choose(self, indices: Sequence[int]) -> PlotInput:
        """The same experiment with only these points in `points`, `summary` and metrics."""
        ...

    def read_metric(
        self, name: str
    ) -> Mapping[int, Mapping[int, Sequence[tuple[int, float | None]]]]:
        """A metric's (step, value) series by point index and seed, including unfinished runs."""
        ...

    def read_artifact(self, point_index: int, seed: int, name: str) -> bytes | None:
        """The bytes of an artifact, or None if it does not exist."""
        ...


class RunProcedure(Protocol):
    def __call__(self, spec: Any, ctx: RunContext) -> Sequence[SeedResult]:
        """Run one point for the seeds of `ctx.seeds`; one result per seed, in their order."""
        ...


class JudgeProcedure(Protocol):
    def __call__(
        self,
        points: Sequence[FinishedPoint],
        summary: Sequence[PointResult],
        confidence: float = 0.95,
    ) -> Sequence[Any]:
        """A verdict (`engine.paper.verdict.Verdict`) on each paper claim that the points can test.

        summary: the kind's result of every point that has results, in their order.
        confidence: of the intervals that decide, in (0, 1).
        """
        ...


class PlotProcedures(Protocol):
    """A kind's `plots` module."""

    def numbers(self, name: str, source: PlotInput) -> dict[str, Any]:
        """The numbers that the plot draws, as JSON."""
        ...

    def draw(self, name: str, numbers: Mapping[str, Any], options: Any) -> Any:
        """A matplotlib Figure of these numbers."""
        ...


def no_presets() -> Sequence[Preset]:
    return ()


def no_sentence(point: Mapping[str, Any]) -> str:
    return ""


def nothing_expected(spec: ExperimentSpec, info: DatasetInfo) -> Mapping[str, Any]:
    return {}


def nothing_published(spec: ExperimentSpec) -> Sequence[PublishedNumber]:
    return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """All that is needed to list, run, summarise and plot one type of study."""

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
    """`package.module` of the plots (imports matplotlib)."""
    example: Mapping[str, Any]
    """A small experiment, ready to submit."""
    question: str = ""
    """What a researcher asks with it, in a few words"""
    presets: Callable[[], Sequence[Preset]] = field(default=no_presets)
    answer: Callable[[Mapping[str, Any]], Sequence[AnswerColumn]] = field(default=list_statistics)
    """The numbers that answer the question at a point, given as stored: the most telling one first,
    a column for each value that the point could have."""
    tell: Callable[[Mapping[str, Any]], str] = field(default=no_sentence)
    """The answer at a point, given as stored, in one plain sentence; empty where numbers do."""
    expect: Callable[[ExperimentSpec, DatasetInfo], Mapping[str, Any]] = field(
        default=nothing_expected
    )
    """What of a point's result the spec decides, as JSON, for `answer` to tell its quantities
    before anything is computed. Fields that are statistics have placeholders already; a nested one
    is `engine.answers.PLACEHOLDER`."""
    judge_path: str | None = None
    """`package.module:function` that compares finished points with the paper's claims; None if no
    claim is about this kind."""
    list_published: Callable[[ExperimentSpec], Sequence[PublishedNumber]] = field(
        default=nothing_published
    )
    """The numbers that the paper prints about the results of a spec; parameter counts are added for
    every kind."""

    def read_answer(self, point: PointResult | Mapping[str, Any]) -> list[AnswerColumn]:
        """The columns of one point of a result, the kind's headline first, what `probes` measured
        last.
        """
        if isinstance(point, PointResult):
            point = point.model_dump(mode="json")
        return [*self.answer(point), *list_probe_columns(point)]

    def read_quantities(self, point: PointResult | Mapping[str, Any]) -> list[AnswerColumn]:
        """Every number of a result that has a name: the answer, then the other statistics."""
        if isinstance(point, PointResult):
            point = point.model_dump(mode="json")
        return list_columns([self.read_answer(point), list_statistics(point)])

    def load_run(self) -> RunProcedure:
        """Import and return the procedure; the first call imports torch."""
        return cast(RunProcedure, _load(self.run_path))

    def load_judge(self) -> JudgeProcedure | None:
        """Import and return the judge, or None if the kind has none. Imports no torch."""
        if self.judge_path is None:
            return None
        return cast(JudgeProcedure, _load(self.judge_path))

    def read_page(self) -> str:
        """The kind's README in Markdown: what is measured, and by which formula."""
        return (files(self.plots_path.rpartition(".")[0]) / "README.md").read_text(encoding="utf-8")

    def load_plots(self) -> PlotProcedures:
        """Import and return the kind's plots and those of every sweep.

        The first call imports matplotlib.
        """
        from engine.drawing.kind_plots import KindPlots

        own = cast(PlotProcedures, import_module(self.plots_path))
        return KindPlots(own, self.read_answer)


def _load(path: str) -> Any:
    """Import `package.module` and return its attribute `name`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
