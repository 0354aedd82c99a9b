"""Figures 7 to 12 and 21 to 23 and Table 1 (Section 6 and appendix) as bodies ready to submit.

At quick scale each net has two training specs for all figures, one for static and one for drawn
policies. A training done for one figure is found by its digest and loaded for the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.experiments.lws.regime_presets import make_by_regime
from engine.experiments.lws.spec import LwsSpec
from engine.kind import Preset
from engine.models.layout import count_planned_layers
from engine.paper.recipes import Scale, make_preset, paper_spec

Net = Literal["vgg5", "vgg11"]
Study = Literal["static", "drawn"]
Policy = dict[str, Any]

RHOS = (0.1, 0.2, 0.3, 0.4, 0.5)
XAVIER, PRETRAINED = {"name": "xavier"}, {"name": "pretrained"}

_TITLES: Mapping[tuple[Scale, Net], str] = {
    ("paper", "vgg5"): "VGG-5 on MNIST",
    ("paper", "vgg11"): "VGG-11 on CIFAR-10",
    ("quick", "vgg5"): "narrow VGG-5 on digits",
    ("quick", "vgg11"): "narrow VGG-11 on digits",
}
_DATA = {"vgg5": "mnist", "vgg11": "cifar10"}


@dataclass(frozen=True, slots=True)
class QuickSize:
    """Sizes that two cores train in a few minutes."""

    width_multiplier: float
    train_size: int
    test_size: int
    epochs: int
    batch_size: int


_QUICK_SIZES: Mapping[tuple[Study, Net], QuickSize] = {
    ("static", "vgg5"): QuickSize(0.125, 1000, 500, 20, 64),
    ("static", "vgg11"): QuickSize(0.125, 1000, 500, 25, 64),
    ("drawn", "vgg5"): QuickSize(0.25, 256, 250, 100, 128),
    ("drawn", "vgg11"): QuickSize(0.1875, 320, 250, 100, 64),
}
"""Drawn policies need many epochs, not many images: over 100 epochs of five seeds the share of
epochs that train the whole net is within a tenth of rho, over 20 epochs it is not. They also need
wide nets and large batches: a step of the top layer alone must take less than a hundredth of a
whole backward pass, or the ratio of times is not rho either."""
_QUICK_SEEDS = {"static": range(3), "drawn": range(5)}


def presets() -> Sequence[Preset]:
    """Every figure, and the policies by regime, at both scales."""
    figures = (
        preset
        for scale in _SCALES
        for preset in (*_static_figures(scale), *_drawn_figures(scale), *_late_figures(scale))
    )
    return (*figures, *make_by_regime(_SCALES))


SAME_K_AND_Q = "of Top k Bottom q the pairs with k = q, as in Figure 8(b)"
WHOLE_NETS = (
    "Top 3 Bottom 3 and Top 4 Bottom 4 are left out: in VGG-5 they draw what Top 3 and Top 4 All "
    "Bottoms draw"
)
_SCALES: tuple[Scale, ...] = ("paper", "quick")


def _static_figures(scale: Scale) -> Iterable[Preset]:
    for letter, net in _PANELS:
        policies = _static_policies(net, diagonal=net == "vgg11")
        for number, what, plot in (
            (7, "accuracy", "accuracy_bars"),
            (8, "back-propagation time", "backward_bars"),
        ):
            yield _make(
                f"fig{number}{letter}",
                scale,
                net,
                "static",
                f"Static layer-wise sparse SGD, {what}: {_TITLES[scale, net]}",
                "Top k, bottom q, both, or only the middle layers, against training all layers "
                f"(Figure {number}{letter}).",
                policies,
                plots=(plot,),
                experiment=f"Static layer-wise sparse SGD: {_TITLES[scale, net]}",
                choices=[SAME_K_AND_Q] if net == "vgg11" else [],
            )
    yield _make(
        "fig21",
        scale,
        "vgg11",
        "static",
        f"Static layer-wise sparse SGD with every k and q: {_TITLES[scale, 'vgg11']}",
        "Figures 7b and 8b with every pair of k and q from 1 to 4 (Figure 21).",
        _static_policies("vgg11", diagonal=False),
        plots=("accuracy_bars", "backward_bars"),
    )


def _drawn_figures(scale: Scale) -> Iterable[Preset]:
    for number, against, plot in (
        (9, "back-propagation time", "error_against_backward_time"),
        (12, "full training time", "error_against_train_time"),
    ):
        for letter, net, init in (
            *((letter, net, XAVIER) for letter, net in _PANELS),
            ("c", "vgg11", PRETRAINED),
        ):
            trained = _TITLES[scale, net] + (
                ", pretrained" if (init, scale) == (PRETRAINED, "paper") else ""
            )
            yield _make(
                f"fig{number}{letter}",
                scale,
                net,
                "drawn",
                f"Test error against {against}: {trained}",
                "Top k Bottom k, Top k All Bottoms and Random-Uniform at rho from 0.1 to 0.5 "
                f"(Figure {number}).",
                [FULL, *_by_rho(net, scale, RHOS), UNIFORM],
                plots=(plot,),
                init=init,
                fewer_k=True,
                experiment=f"Probabilistic layer-wise sparse SGD at rho = 0.1 to 0.5: {trained}",
                choices=[WHOLE_NETS] if net == "vgg5" else [],
            )
    for letter, net in _PANELS:
        for number, what, plot in (
            (10, "accuracy", "accuracy_bars"),
            (11, "back-propagation time", "backward_bars"),
        ):
            yield _make(
                f"fig{number}{letter}",
                scale,
                net,
                "drawn",
                f"Probabilistic layer-wise sparse SGD at rho = 0.1, {what}: {_TITLES[scale, net]}",
                "Top k Bottom k, Top k All Bottoms, Random-Beta and Random-Uniform "
                f"(Figure {number}{letter}).",
                [FULL, *_by_rho(net, "paper", RHOS[:1]), BETA, UNIFORM],
                plots=(plot,),
                experiment=(
                    f"Probabilistic layer-wise sparse SGD at rho = 0.1: {_TITLES[scale, net]}"
                ),
                choices=[WHOLE_NETS] if net == "vgg5" else [],
            )


def _late_figures(scale: Scale) -> Iterable[Preset]:
    for letter, net in _PANELS:
        q = _Q_OF_FIGURE_22[net]
        yield _make(
            f"fig22{letter}",
            scale,
            net,
            "drawn",
            f"Test error against back-propagation time, q = {q}: {_TITLES[scale, net]}",
            f"Top k Bottom {q}, Top k All Bottoms, Random-Uniform and Random-Beta "
            f"(Figure 22{letter}).",
            [FULL, *_by_rho(net, scale, RHOS, q=q), UNIFORM, BETA],
            plots=("error_against_backward_time",),
            init=None if net == "vgg11" else XAVIER,
            fewer_k=True,
        )
    yield _make(
        "fig23",
        scale,
        "vgg11",
        "drawn",
        f"Error as back-propagation time is spent: {_TITLES[scale, 'vgg11']}",
        "Full training against Top 4 All Bottoms at the smallest and the largest rho, as the paper "
        "names none (Figure 23).",
        [FULL, *(_all_bottoms(4, rho) for rho in (RHOS[0], RHOS[-1]))],
        plots=("error_curves",),
        init=None,
    )
    yield _make(
        "table1",
        scale,
        "vgg11",
        "drawn",
        f"Table 1: {_TITLES[scale, 'vgg11']}",
        "Accuracy, back-propagation time and their change against full training, with the "
        "published numbers (Table 1).",
        [
            FULL,
            UNIFORM,
            BETA,
            *(_top_bottom(k, 4, rho) for k in (1, 4) for rho in RHOS),
            *(_all_bottoms(k, rho) for k in (1, 4) for rho in RHOS),
        ],
        plots=("table",),
        init=None,
    )


def _make(
    name: str,
    scale: Scale,
    net: Net,
    study: Study,
    title: str,
    description: str,
    policies: Sequence[Policy],
    *,
    plots: Sequence[str],
    init: dict[str, str] | None = XAVIER,
    fewer_k: bool = False,
    experiment: str | None = None,
    choices: Sequence[str] = (),
) -> Preset:
    """A preset of this kind.

    init: None for both initialisations. fewer_k: quick scale omits some k. experiment: as in
    `make_preset`.
    """
    sweep: dict[str, Sequence[Any]] = {"policy": policies}
    if scale == "paper":
        spec = paper_spec("lws", _DATA[net], {"name": net}, init=init or XAVIER)
        sweep = {"init": (XAVIER, PRETRAINED), **sweep} if init is None else sweep
        return make_preset(
            name,
            scale,
            title,
            description,
            spec,
            plots=plots,
            sweep=sweep,
            experiment=experiment,
            choices=choices,
        )
    departures = []
    if init is not XAVIER:
        departures.append(
            "Xavier initialisation alone, as ImageNet weights fit neither narrow nets nor grey "
            "images"
        )
    if fewer_k:
        departures.append(f"k of {' and '.join(map(str, _QUICK_K[net]))} instead of 1 to 4")
    return make_preset(
        name,
        scale,
        title,
        description,
        _quick_spec(net, study),
        plots=plots,
        sweep=sweep,
        seeds=_QUICK_SEEDS[study],
        departures=departures,
        experiment=experiment,
        choices=choices,
    )


def _quick_spec(net: Net, study: Study) -> dict[str, Any]:
    """A narrow net on few images, trained by Adam.

    SGD at the paper's learning rate keeps VGG-11 on its plateau for more epochs than these.
    """
    size = _QUICK_SIZES[study, net]
    return paper_spec(
        "lws",
        _DATA[net],
        {"name": net, "width_multiplier": size.width_multiplier},
        data={"name": "digits", "train_size": size.train_size, "test_size": size.test_size},
        optimizer={"name": "adam", "lr": 0.002},
        schedule={"name": "constant"},
        epochs=size.epochs,
        batch_size=size.batch_size,
    )


_PANELS: tuple[tuple[str, Net], ...] = (("a", "vgg5"), ("b", "vgg11"))
_QUICK_K: dict[Net, tuple[int, ...]] = {"vgg5": (1, 2), "vgg11": (1, 4)}
_Q_OF_FIGURE_22: dict[Net, int] = {"vgg5": 1, "vgg11": 4}

FULL: Policy = {"name": "full"}
UNIFORM: Policy = {"name": "random_uniform"}
BETA: Policy = {"name": "random_beta"}


def _top_bottom(k: int, q: int, rho: float) -> Policy:
    return {"name": "prob_top_k_bottom_q", "k": k, "q": q, "rho": rho}


def _all_bottoms(k: int, rho: float) -> Policy:
    return {"name": "top_k_all_bottoms", "k": k, "rho": rho}


def _freezes_a_layer(net: Net, k: int, q: int) -> bool:
    """Whether Top k Bottom q freezes a layer; in VGG-5 Top 3 Bottom 3 trains the full net."""
    num_layers = count_planned_layers(LwsSpec.model_validate({"model": {"name": net}}).model)
    assert num_layers is not None, "the presets are of the paper's nets"
    return k + q < num_layers


def _static_policies(net: Net, *, diagonal: bool) -> list[Policy]:
    """diagonal: only pairs with k = q."""
    sizes = range(1, 5)
    return [
        FULL,
        *({"name": "top_k", "k": k} for k in sizes),
        *({"name": "bottom_q", "q": q} for q in sizes),
        *(
            {"name": "top_k_bottom_q", "k": k, "q": q}
            for k in sizes
            for q in sizes
            if (k == q or not diagonal) and _freezes_a_layer(net, k, q)
        ),
        {"name": "middle"},
    ]


def _by_rho(net: Net, scale: Scale, rhos: Sequence[float], q: int | None = None) -> list[Policy]:
    """Top k Bottom q and Top k All Bottoms at each rho. q: None for q = k."""
    sizes = _QUICK_K[net] if scale == "quick" else range(1, 5)
    return [
        *(
            _top_bottom(k, q or k, rho)
            for k in sizes
            if _freezes_a_layer(net, k, q or k)
            for rho in rhos
        ),
        *(_all_bottoms(k, rho) for k in sizes for rho in rhos),
    ]
