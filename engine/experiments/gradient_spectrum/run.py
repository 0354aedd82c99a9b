"""The procedure of the gradient spectrum: one training, its gradient sorted at chosen steps."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np

from engine.analysis.fractions import percent_key
from engine.analysis.spectrum import Spectrum, SpectrumProbe
from engine.context import RunContext
from engine.experiments.gradient_spectrum.curves import CURVES_FILE, magnitudes_file
from engine.experiments.gradient_spectrum.result import (
    NEAR_ZERO_PERCENT,
    SpectrumSeedResult,
    StepSpectrum,
)
from engine.experiments.gradient_spectrum.spec import GradientSpectrumSpec
from engine.result import SeedResult
from engine.spec import canonical_json
from engine.training.loop import train
from engine.training.outcome import TrainedSeed

QUANTILE_PERCENTS = (1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 100.0)
SHARE_PERCENTS = (0.1, 1.0, 10.0)


def run(spec: GradientSpectrumSpec, ctx: RunContext) -> Sequence[SeedResult]:
    """Train every seed of the context and measure its gradients; one result per seed.

    Stores each seed's sorted magnitudes, one file per step, and `curves.json`, which plots draw.
    """
    probe = SpectrumProbe(spec.steps, QUANTILE_PERCENTS, SHARE_PERCENTS)
    return [
        _finish_seed(spec, ctx, one, probe.spectra(one.seed))
        for one in train(spec, ctx, on_step=probe)
    ]


def _finish_seed(
    spec: GradientSpectrumSpec, ctx: RunContext, trained: TrainedSeed, spectra: dict[int, Spectrum]
) -> SpectrumSeedResult:
    for step, spectrum in spectra.items():
        stream = BytesIO()
        np.savez_compressed(stream, magnitudes=spectrum.magnitudes.numpy())
        ctx.save_artifact(magnitudes_file(step), trained.seed, "application/zip", stream.getvalue())
    curves = [
        {
            "step": step,
            "p": len(spectrum.magnitudes),
            "ranks": list(spectrum.ranks),
            "magnitudes": list(spectrum.values),
            "share_of_norm": list(spectrum.cumulative_shares),
        }
        for step, spectrum in spectra.items()
    ]
    stored = canonical_json({"steps": curves}).encode()
    ctx.save_artifact(CURVES_FILE, trained.seed, "application/json", stored)
    fields = trained.result_fields()
    missing = [step for step in spec.steps if step not in spectra]
    if missing:
        steps = ", ".join(map(str, missing))
        fields["notes"] = (
            *fields["notes"],
            f"Seed {trained.seed} had no finite gradient at step {steps}.",
        )
    return SpectrumSeedResult(
        **fields, steps=tuple(_fill_step(step, spectrum) for step, spectrum in spectra.items())
    )


def _fill_step(step: int, spectrum: Spectrum) -> StepSpectrum:
    magnitudes = spectrum.magnitudes
    small = magnitudes < magnitudes[0] * (NEAR_ZERO_PERCENT / 100)
    return StepSpectrum(
        step=step,
        p=len(magnitudes),
        quantiles={percent_key(percent): value for percent, value in spectrum.quantiles.items()},
        share_of_norm={
            percent_key(percent): value for percent, value in spectrum.share_of_norm.items()
        },
        near_zero=float(small.double().mean()),
        zeros=float((magnitudes == 0).double().mean()),
    )
