"""Figures of the widths that papers use: nothing overlaps, is cut off or too small, also in grey.

The results are hard ones: many points with long names, deep nets, one seed and five.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from api.routes import plots as routes
from engine.drawing.colors import (
    HATCHES,
    LEAST_CONTRAST,
    OKABE_ITO,
    contrast_to_white,
    cut_map,
    series_colors,
    series_markers,
    series_styles,
)
from engine.drawing.figure import MAX_INCHES, WIDTH_INCHES, TitleChoice, WidthName
from engine.drawing.fitting import draw_plot
from engine.experiments.activity_map.fitted_maps import COLOR_MAP
from engine.experiments.lws.styles import POLICY_COLORS
from engine.experiments.registry import get_kind, kinds
from engine.local import LocalExperiment, run_local
from engine.plot_numbers import plot_numbers
from engine.plotting import PlotOptions, choose_points, save
from tests.every_kind.made_experiments import make_experiment, set_fields
from tests.every_kind.text_boxes import (
    find_legends_over_axes,
    find_outside,
    find_overlaps,
    list_texts,
    smallest_text,
)

LEAST_POINTS = 6.0
MOST_PAGE_INCHES = 12.0
"""Height of a figure of a chosen width; a page of a paper holds 9."""
WIDTHS: tuple[WidthName, ...] = get_args(WidthName)
POLICIES = ("top_k_all_bottoms", "top_k", "bottom_q", "random_uniform")
TITLE = "Policies and widths of nets on digits"
FULL = {"name": "full"}
SHOWS_ALL = ("error_against_backward_time", "error_against_train_time", "sweep_quantity")
"""Plots with a marker for each point, however many."""


def long_names(count: int) -> list[dict[str, Any]]:
    """Swept values whose names have 60 letters."""
    return [
        {
            "model.width": 10_000 + place,
            "policy.setting": f"{POLICIES[place % 4]} k={place % 4 + 1} rho=0.{place % 9 + 1}",
        }
        for place in range(count)
    ]


def widths(count: int) -> list[dict[str, Any]]:
    return [{"model.width": 10 * (place + 1)} for place in range(count)]


def grid(*counts: int) -> list[dict[str, Any]]:
    """Values of as many fields as counts, in every combination."""
    fields = ("model.width", "optimizer.lr", "epochs")
    axes = [
        [10 * (place + 1) if name != "optimizer.lr" else 10.0 ** (place - 5) for place in range(n)]
        for name, n in zip(fields, counts, strict=False)
    ]
    return [dict(zip(fields, values, strict=False)) for values in product(*axes)]


def long_grid(names: int, sizes: int) -> list[dict[str, Any]]:
    """Two fields, one of which has long names and no numbers."""
    settings = [one["policy.setting"] for one in long_names(names)]
    return [
        {"policy.setting": f"{place} {setting}", "batch_size": f"{size} images"}
        for place, setting in enumerate(settings)
        for size in range(sizes)
    ]


CASES: Mapping[str, tuple[Sequence[dict[str, Any]], int, int | None]] = {
    "1 point, 1 seed": ([{}], 1, None),
    "4 points": (widths(4), 5, None),
    "12 long names": (long_names(12), 5, None),
    "two fields": (grid(8, 6), 5, None),
    "three fields": (grid(5, 4, 3), 5, None),
    "many names": (long_grid(14, 3), 2, None),
    "28 layers": (widths(2), 5, 28),
    "40 layers, 12 long names": (long_names(12), 1, 40),
}
"""Swept values, seeds, and layers of nets other than the example's."""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, LocalExperiment]:
    """The example of each kind, computed once."""
    found = {}
    for name, kind in kinds().items():
        body = json.loads(json.dumps(kind.example))
        body.pop("sweep", None)
        if name == "reinit_sweep":
            body["spec"]["modes"] = ["active", "lazy", "random", "layer"]
        folder = tmp_path_factory.mktemp(name)
        found[name] = run_local(
            body, folder, seeds=[0], data_dir=folder, device="cpu", allow_download=False
        )
    return found


def make_numbers(examples: Mapping[str, LocalExperiment], kind: str, case: str) -> dict[str, Any]:
    """The numbers of every plot of the kind for the case, by the plot's name.

    A case of other layers has the plots that show layers.
    """
    values, seeds, layers = CASES[case]
    first = examples[kind].points[0].spec
    specs = [first] * len(values)
    if kind == "lws":
        specs = [set_fields(first, {"policy": make_policy(place)}) for place in range(len(values))]
    experiment = make_experiment(
        get_kind(kind), examples[kind], values, specs=specs, seeds=seeds, title=TITLE
    )
    numbers = {
        plot.name: json.loads(json.dumps(plot_numbers(get_kind(kind), plot.name, experiment)))
        for plot in get_kind(kind).plots
        if plot.explain_absence(experiment) is None
    }
    if layers is not None:
        deep = {name: deepen(found, layers) for name, found in numbers.items()}
        numbers = {name: found for name, found in deep.items() if found != numbers[name]}
    return numbers


def make_policy(place: int) -> dict[str, Any]:
    rho = (place % 9 + 1) / 10
    return {"name": "top_k_all_bottoms", "k": place % 2 + 1, "rho": rho} if place else FULL


def deepen(numbers: dict[str, Any], layers: int) -> dict[str, Any]:
    """The numbers of a net with so many layers, its layers those of the net repeated."""
    if numbers.get("layers"):
        names, rows = numbers["layers"], numbers["test_accuracy"]
        places = range(layers)
        deep = [f"encoder.layers.{place}.{names[place % len(names)]}" for place in places]
        return {
            **numbers,
            "layers": deep,
            "test_accuracy": [rows[place % len(rows)] for place in places],
        }
    points = []
    for point in numbers["points"]:
        point = dict(point)
        for name in ("layers", "maps"):
            found = point.get(name)
            if found and isinstance(found[0], dict):
                point[name] = [
                    {**found[place % len(found)], "layer": place + 1} for place in range(layers)
                ]
        points.append(point)
    return {**numbers, "points": points}


def draw(kind: str, name: str, numbers: Mapping[str, Any], **options: Any) -> Figure:
    options = {"dpi": 100} | options
    return draw_plot(get_kind(kind).load_plots(), name, numbers, PlotOptions(**options))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", list(kinds()))
def test_no_text_overlaps_leaves_the_figure_or_is_too_small(
    examples: Mapping[str, LocalExperiment], kind: str, case: str
) -> None:
    for name, numbers in make_numbers(examples, kind, case).items():
        for width in ("column", "text"):
            figure = draw(kind, name, numbers, width=width)
            where = f"{name} as {width}: {case}"
            assert figure.axes, f"{where} is drawn, not only mentioned"
            assert figure.get_figwidth() == WIDTH_INCHES[width]
            assert figure.get_figheight() <= MOST_PAGE_INCHES, where
            texts = list_texts(figure)
            assert find_overlaps(texts) == [], where
            assert find_outside(texts, figure) == [], where
            assert find_legends_over_axes(figure) == 0, where
            assert smallest_text(texts) >= LEAST_POINTS, where


def test_text_has_7_to_8_points_and_more_on_a_slide(
    examples: Mapping[str, LocalExperiment],
) -> None:
    for kind in kinds():
        for name, numbers in make_numbers(examples, kind, "4 points").items():
            column = {one.size for one in list_texts(draw(kind, name, numbers, width="column"))}
            assert min(column) >= 7.0, name
            assert max(column) <= 8.0, name
            slide = draw(kind, name, numbers, width="slide")
            texts = list_texts(slide)
            assert find_overlaps(texts) == [], name
            assert find_outside(texts, slide) == [], name
            assert smallest_text(texts) >= 12.0, name


def test_the_title_is_left_to_the_caption_where_asked_and_the_note_stays(
    examples: Mapping[str, LocalExperiment],
) -> None:
    choices = get_args(TitleChoice)
    for kind in kinds():
        for name, numbers in make_numbers(examples, kind, "4 points").items():
            for width in (None, "column") if kind == "train" else ("column",):
                shown, none = (
                    " ".join(one.text for one in list_texts(draw(kind, name, numbers, **options)))
                    for options in ({"width": width, "title": choice} for choice in choices)
                )
                assert TITLE not in " ".join(none.split()), (name, width)
                assert name == "architecture" or TITLE in " ".join(shown.split()), (name, width)
    numbers = make_numbers(examples, "train", "4 points")["learning_curve"]
    figure = draw("train", "learning_curve", numbers, width="text", title="none")
    assert figure.get_suptitle() == "mean of 5 seeds, band: one standard error"


@pytest.mark.parametrize("width", [None, "column"])
@pytest.mark.parametrize("kind", list(kinds()))
def test_200_points_make_no_tall_picture_and_what_is_left_out_is_told(
    examples: Mapping[str, LocalExperiment], kind: str, width: WidthName | None
) -> None:
    experiment = make_experiment(
        get_kind(kind),
        examples[kind],
        widths(200),
        specs=[examples[kind].points[0].spec] * 200,
        title=TITLE,
    )
    for plot in get_kind(kind).plots:
        if plot.explain_absence(experiment) is not None:
            continue
        found = plot_numbers(get_kind(kind), plot.name, experiment, for_picture=True)
        figure = draw(kind, plot.name, json.loads(json.dumps(found)), width=width)
        assert figure.axes, plot.name
        limit = MAX_INCHES
        if width is not None:
            limit = MOST_PAGE_INCHES * PlotOptions(width=width).enlargement
        assert max(figure.get_size_inches()) <= limit, plot.name
        told = " ".join(" ".join(one.text for one in list_texts(figure)).split())
        is_told = "of 200 points" in told or "of 200 nets" in told
        assert is_told or plot.name in SHOWS_ALL, plot.name


def test_the_best_and_the_worst_points_are_drawn() -> None:
    scores = [0.5] * 200
    scores[77], scores[133] = 0.9, 0.1
    chosen = choose_points(scores, 12)
    assert len(chosen) <= 12
    assert {0, 77, 133, 199} <= set(chosen)
    assert chosen == sorted(chosen)
    assert choose_points([None] * 3, 4) == [0, 1, 2]
    assert choose_points([0.2, None, 0.9, 0.1], 1) == [2]


def test_neighbouring_series_differ_by_more_than_colour() -> None:
    for points in (widths(16), long_names(16)):
        looks = [(str(one["linestyle"]), one["marker"]) for one in series_styles(points)]
        assert len(set(looks)) == 16
    assert len(set(series_markers(16))) == 16
    markers = series_markers(40)
    assert all(one != other for one, other in pairwise(markers))
    assert len(set(HATCHES)) == len(HATCHES)


def _dash(line: Line2D) -> str:
    return str(line._unscaled_dash_pattern)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("train", "learning_curve"),
        ("reinit_sweep", "curves_log"),
        ("lws", "error_curves"),
        ("activity_map", "concentration"),
    ],
)
def test_neighbouring_curves_of_a_plot_differ_by_dash_or_marker(
    examples: Mapping[str, LocalExperiment], kind: str, name: str
) -> None:
    numbers = make_numbers(examples, kind, "4 points")[name]
    for width in (None, "column"):
        (axes, *_) = draw(kind, name, numbers, width=width).axes
        handles, labels = axes.get_legend_handles_labels()
        lines = [getattr(handle, "lines", [handle])[0] for handle in handles[:4]]
        looks = {(_dash(line), line.get_marker()) for line in lines}
        assert len(looks) == len(lines) == 4, (labels, width)


def test_the_steps_of_a_spectrum_differ_by_dash(examples: Mapping[str, LocalExperiment]) -> None:
    drawn = 0
    for name, numbers in make_numbers(examples, "gradient_spectrum", "4 points").items():
        if name.startswith("sweep_"):
            continue
        lines = draw("gradient_spectrum", name, numbers, width="column").axes[0].lines
        assert len({_dash(line) for line in lines}) == len(lines) > 1, name
        drawn += 1
    assert drawn > 0


def test_stacked_parts_differ_by_hatch(examples: Mapping[str, LocalExperiment]) -> None:
    numbers = make_numbers(examples, "train", "4 points")["timings"]
    (axes,) = draw("train", "timings", numbers, width="column").axes
    bars = [one for one in axes.containers if isinstance(one, BarContainer)]
    assert len({bar[0].get_hatch() for bar in bars}) == len(bars) > 2


def test_every_colour_and_the_light_end_of_colour_maps_are_seen_on_white() -> None:
    points = [*(widths(count) for count in (3, 12, 200)), long_names(12)]
    colors = [*OKABE_ITO, *POLICY_COLORS.values()]
    colors += [color for values in points for color in series_colors(values)]
    assert min(map(contrast_to_white, colors)) >= LEAST_CONTRAST
    for name in ("viridis", COLOR_MAP):
        scale = cut_map(name)
        contrasts = [contrast_to_white(scale(place)) for place in range(scale.N)]
        assert min(contrasts) >= LEAST_CONTRAST
        assert contrasts == sorted(contrasts, reverse=True), "grey print keeps the order"
        assert contrasts[0] > 5 * contrasts[-1]


def test_text_stays_text_in_svg_and_fonts_are_embedded_in_pdf(
    examples: Mapping[str, LocalExperiment],
) -> None:
    numbers = make_numbers(examples, "train", "4 points")["learning_curve"]
    options = PlotOptions(width="column")
    figure = draw_plot(get_kind("train").load_plots(), "learning_curve", numbers, options)
    svg = save(figure, "svg", options)
    tree = ElementTree.fromstring(svg)  # noqa: S314 - our own file
    texts = ["".join(one.itertext()) for one in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Epoch", "width 10", "Test accuracy (%)"} <= set(texts)
    assert b"'DejaVu Sans', Verdana, sans-serif" in svg
    assert tree.attrib["width"] == "234pt"  # 3.25 inches
    pdf = save(figure, "pdf", options)
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_zero_has_a_marked_place_on_a_logarithmic_axis(
    examples: Mapping[str, LocalExperiment],
) -> None:
    numbers = make_numbers(examples, "train", "4 points")["learning_curve"]
    numbers["points"][0]["curves"]["train_loss"]["mean"][-1] = 0.0
    _, loss = draw("train", "learning_curve", numbers, width="column").axes
    assert loss.get_yscale() == "symlog"
    bottom, _ = loss.get_ylim()
    assert bottom < 0.0
    assert 0.0 in loss.get_yticks()
    numbers["points"][0]["curves"]["train_loss"]["mean"][-1] = 0.5
    assert draw("train", "learning_curve", numbers).axes[1].get_yscale() == "log"


def test_the_service_takes_the_widths_of_the_engine() -> None:
    assert get_args(routes.WidthName) == WIDTHS
