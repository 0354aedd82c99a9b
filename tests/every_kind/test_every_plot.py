"""Every plot of every kind is a valid picture, with every option and for degenerate results."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from PIL import Image

from engine.drawing.fitting import EDGE_INCHES, draw_plot, has_overlaps
from engine.experiments.registry import kinds
from engine.kind import Kind
from engine.local import LocalExperiment, run_local
from engine.plot_numbers import plot_numbers
from engine.plotting import ImageFormat, PlotOptions, Scale, drawing, save
from tests.every_kind.made_experiments import MadeExperiment, make_experiment

TWO_POINTS = [{"optimizer.lr": 0.1}, {"optimizer.lr": 0.2}]
SCALES: tuple[Scale | None, ...] = (None, *get_args(Scale))
SIZES: tuple[Mapping[str, Any], ...] = (
    {},
    {"width": 2.0, "height": 2.0},
    {"width": 3.3},
    {"width": 20.0, "height": 2.0},
    {"width": 2.0, "height": 20.0},
)
Make = Callable[[Kind, LocalExperiment], MadeExperiment]


def make_case(points: Any = TWO_POINTS, **fields: Any) -> Make:
    return lambda kind, example: make_experiment(kind, example, points, **fields)


CASES: Mapping[str, Make] = {
    "one point": make_case([{}]),
    "one seed": make_case(seeds=1),
    "no results": make_case(seeds=0),
    "all zero": make_case(change=lambda value: 0.0, metrics=lambda value: 0.0),
    "all equal": make_case(change=lambda value: 0.5, metrics=lambda value: 0.5),
    "all tiny": make_case(change=lambda value: 1e-300, metrics=lambda value: 1e-300),
    "at chance": make_case(outcome="at_chance"),
    "not finite": make_case(outcome="not_finite", metrics=lambda value: None),
    "no metrics": make_case(metrics=None),
    "negative metrics": make_case(metrics=lambda value: -1.0),
    "huge metrics": make_case(metrics=lambda value: 1e300),
    "three fields": make_case(
        [
            {"optimizer.lr": rate, "epochs": epochs, "batch_size": size}
            for rate in (0.1, 0.2)
            for epochs in (3, 4)
            for size in (16, 32)
        ]
    ),
    "two fields": make_case(
        [{"optimizer.lr": rate, "epochs": epochs} for rate in (0.1, 0.2) for epochs in (3, 4)]
    ),
}
QUICK = ("no results", "all zero", "not finite", "two fields", "three fields")
MANY = make_case([{"optimizer.lr": 0.001 * step} for step in range(1, 201)])


@pytest.fixture(scope="module", params=list(kinds()))
def kind(request: pytest.FixtureRequest) -> Kind:
    return kinds()[request.param]


@pytest.fixture(scope="module")
def example(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> LocalExperiment:
    folder = tmp_path_factory.mktemp(kind.name)
    return run_local(
        kind.example,
        folder,
        seeds=[0],
        data_dir=folder / "data",
        device="cpu",
        allow_download=False,
    )


@pytest.mark.parametrize(
    "case",
    [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES],
)
def test_every_plot_of_degenerate_results_is_drawn_with_both_scales(
    kind: Kind, example: LocalExperiment, case: str
) -> None:
    for name, numbers in list_numbers(CASES[case](kind, example)):
        for scale in (None, "log"):
            check_plot(kind, name, numbers, PlotOptions(dpi=50, xscale=scale, yscale=scale))


@pytest.mark.parametrize("case", ["one seed", "two fields", "three fields"])
def test_nothing_is_cut_off_at_any_size(kind: Kind, example: LocalExperiment, case: str) -> None:
    for name, numbers in list_numbers(CASES[case](kind, example)):
        if case != "one seed" and not name.startswith("sweep_"):
            continue
        shown = None
        for size in SIZES:
            figure = check_plot(kind, name, numbers, PlotOptions(dpi=50, **size))
            shown = bool(figure.axes) if shown is None else shown
            assert bool(figure.axes) == shown, f"{name} is drawn at {size}, not only mentioned"


def test_every_format_of_every_plot_is_valid(kind: Kind, example: LocalExperiment) -> None:
    for name, numbers in list_numbers(CASES["one seed"](kind, example)):
        check_plot(kind, name, numbers, PlotOptions(dpi=50), *get_args(ImageFormat))


@pytest.mark.parametrize("width", [None, 3.3])
def test_names_of_whole_objects_neither_overlap_nor_leave_the_picture(
    kind: Kind, example: LocalExperiment, width: float | None
) -> None:
    rates = (0.001, 0.3, 0.1 + 0.2)
    optimizers = [
        *({"name": "adam", "lr": rate, "beta1": 0.9, "beta2": 0.999} for rate in rates),
        *({"name": "sgd", "lr": rate, "momentum": 0.9} for rate in rates),
    ]
    points = [{"optimizer": one, "epochs": count} for one in optimizers for count in (3, 4)]
    for name, numbers in list_numbers(make_experiment(kind, example, points)):
        options = PlotOptions(dpi=100, width=width)
        figure = check_plot(kind, name, numbers, options)
        with drawing(options):
            assert not has_overlaps(figure), name


@pytest.mark.slow
def test_200_points_are_drawn(kind: Kind, example: LocalExperiment) -> None:
    for name, numbers in list_numbers(MANY(kind, example)):
        check_plot(kind, name, numbers, PlotOptions(dpi=50))


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, "200 points"])
def test_every_option_of_every_plot_draws_degenerate_results(
    kind: Kind, example: LocalExperiment, case: str
) -> None:
    for name, numbers in list_numbers(CASES.get(case, MANY)(kind, example)):
        for xscale, yscale in product(SCALES, SCALES):
            check_plot(kind, name, numbers, PlotOptions(dpi=50, xscale=xscale, yscale=yscale))
        for size in SIZES:
            check_plot(kind, name, numbers, PlotOptions(dpi=50, **size), *get_args(ImageFormat))
        check_plot(kind, name, numbers, PlotOptions(dpi=400))


def list_numbers(experiment: MadeExperiment) -> Iterator[tuple[str, dict[str, Any]]]:
    """The numbers of each plot that applies, as a reader of the JSON has them."""
    for plot in experiment.kind.plots:
        if plot.explain_absence(experiment) is None:
            numbers = plot_numbers(experiment.kind, plot.name, experiment)
            yield plot.name, json.loads(json.dumps(numbers, allow_nan=False))


def check_plot(
    kind: Kind,
    name: str,
    numbers: Mapping[str, Any],
    options: PlotOptions,
    *image_formats: ImageFormat,
) -> Figure:
    """image_formats: those to save the figure in, only PNG by default."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_plot(kind.load_plots(), name, numbers, options)
        files = {one: save(figure, one, options) for one in image_formats or ("png",)}
    with drawing(options):  # texts are measured in the font of the plot
        check_nothing_is_cut_off(figure, name)
    for image_format, data in files.items():
        check_file(image_format, data, options)
    return figure


def check_file(image_format: str, data: bytes, options: PlotOptions) -> None:
    if image_format == "svg":
        assert ElementTree.fromstring(data).tag.endswith("}svg")  # noqa: S314 - our own file
    elif image_format == "pdf":
        assert data.startswith(b"%PDF-")
        assert data.rstrip().endswith(b"%%EOF")
    else:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if options.width_inches is not None:
                assert image.width == round(options.width_inches * options.dpi)


def check_nothing_is_cut_off(figure: Figure, name: str) -> None:
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0) >= -EDGE_INCHES, name
    assert box.x1 <= width + EDGE_INCHES, name
    assert box.y1 <= height + EDGE_INCHES, name
