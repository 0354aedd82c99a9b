"""The responses of the API as pydantic models.

Generated from `openapi.yaml` by `python -m ops.client_types`; do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

from richregime.enums import (
    Action,
    ActionOutcome,
    ExperimentStatus,
    FailureReason,
    Keep,
    PlanEnd,
    ProblemCode,
    RunStatus,
    Scope,
)
from richregime.metric_table import MetricTable
from richregime.resource import OpenEnum, Resource, json_default


class ActedExperiment(Resource):
    """What was done, or would be, with one experiment."""

    id: str
    title: str | None
    """Its name, or what differs from the defaults; null for an unknown id."""
    status: OpenEnum[ExperimentStatus] | None
    """Before the action."""
    outcome: OpenEnum[ActionOutcome]
    detail: str
    """What the action changes, or why it changes nothing."""
    bytes: int = 0
    """That a deletion frees."""


class ActionReport(Resource):
    """An action on many experiments; each is a transaction of its own."""

    dry_run: bool
    items: list[ActedExperiment]
    counts: dict[OpenEnum[ActionOutcome], int]
    bytes: int
    """That deletions free."""


class Statistic(Resource):
    """A quantity over seeds.

    With one seed `standard_error` and `ci95` are null. Where all values are equal the error
    is 0 and `ci95` is null: there is no spread to make an interval of.
    """

    mean: float
    standard_error: float | None
    """Sample standard deviation / sqrt(n), as in the paper's figures."""
    ci95: tuple[float, float] | None
    """Student's t interval around the mean."""
    n: int


class LayerSummary(Resource):
    """One layer over the seeds of a point. By alpha, null where nothing was ever active."""

    name: str
    shape: list[int] | None
    parameters: int
    parameter_share: float
    """The layer's share of all parameters, which equals its share of active ones by chance."""
    share: dict[str, Statistic | None]
    """The layer's share of the active set, over all epochs."""
    concentration: dict[str, Statistic | None]
    """share / parameter_share: 1 by chance, at most 100 / alpha."""
    mean_frequency: dict[str, Statistic | None]
    """Share of epochs in which a parameter of the layer was active, averaged over the layer."""


class ReusedTraining(Resource):
    """A training of one seed that is loaded instead of repeated."""

    point: int
    """Index of the point."""
    seed: int
    run_id: str
    """The run that did the training; it may be of another kind, and deleted by now."""


class MetricStatistic(Resource):
    point: int
    name: str
    step: int
    statistic: Statistic


class AggregatedMetrics(MetricTable):
    items: list[MetricStatistic]
    next_cursor: str | None = None
    sampled: bool = False
    """Whether steps were left out, so that each series has at most `points` steps."""


class Artifact(Resource):
    id: str
    run_id: str
    name: str
    seed: int | None
    media_type: str
    sha256: str
    bytes: int
    created_at: datetime
    links: dict[str, str]


class AuditEntry(Resource):
    """One change, or one refused request."""

    id: str
    at: datetime
    owner: str | None
    """The owner of the key; null where the request had no valid key."""
    key_id: str | None
    action: OpenEnum[Action]
    target: str | None
    """The id of an experiment, checkpoint, key or worker, or the name of a data set or host."""
    request_id: str | None
    """As in the response header `X-Request-Id`; null for a command on the service's machine."""
    detail: str | None


class BiasPolicy(Resource):
    """Only biases and shifts, and with `head` the whole top layer.

    BitFit (arXiv 2106.10199), where the classifier trains too.
    """

    name: Literal["bias"] = "bias"
    head: bool = True
    """Whether the whole top layer trains too."""


class BottomQPolicy(Resource):
    """The bottom q layers in every epoch."""

    name: Literal["bottom_q"] = "bottom_q"
    q: int = 1
    """Layers trained from the bottom (the input side)."""


class Checkpoint(Resource):
    id: str
    run_id: str
    name: str
    seed: int | None
    epoch: int | None
    sha256: str
    bytes: int
    created_at: datetime
    links: dict[str, str]


class ComparedExperiment(Resource):
    id: str
    name: str | None
    kind: str
    status: OpenEnum[ExperimentStatus]


class StatisticDifference(Resource):
    """A statistic minus that of the first experiment at the same point."""

    mean: float
    ci95: tuple[float, float] | None
    """Interval of Welch's t, with the seeds as independent samples.

    Null where either has one seed, or neither has a spread.
    """


class ComparedStatistic(Resource):
    mean: float
    standard_error: float | None
    """Null with one seed."""
    ci95: tuple[float, float] | None
    """Null with one seed, and where all values are equal: there is no spread."""
    n: int
    difference: StatisticDifference | None
    """Null for the first experiment, and where the first has no value at the point."""


class ComparedPoint(Resource):
    point: dict[str, Any]
    """The swept fields and their values."""
    values: dict[str, ComparedStatistic]
    """By experiment id; an experiment without a value at the point is left out."""


class ComparedQuantity(Resource):
    quantity: str
    title: str
    """In plain words."""
    unit: str
    """`accuracy` and `share`: in [0, 1]; `difference` of two of these; `percent`: in [0, 100];
    `seconds`, `ratio`, `loss`, `count`; empty: without a unit.
    """
    points: list[ComparedPoint]
    """In the order in which the experiments' results first list them."""


class OwnVerdict(Resource):
    """One claim of the submission, judged."""

    name: str
    """Of the claim."""
    statement: str
    """What the claim says, in words."""
    quantity: str
    unit: str
    """Of the value and the interval: that of the quantity; `difference`, in [-1, 1], for
    accuracies and shares of two points.
    """
    point: dict[str, Any]
    """The swept values of the point."""
    versus: dict[str, Any] | None
    """Those of the other point; null where the claim is about one."""
    verdict: Literal["reproduced", "not reproduced", "inconclusive"] | str
    sentence: str
    """What was found, in one plain sentence."""
    value: float | None
    interval: tuple[float, float] | None
    """Over seeds, at `confidence`; null with one seed or without spread."""
    n: int
    """Seeds, or separate measurements of time."""
    confidence: float
    """Of the interval; 0.95 unless several looks at the seeds share the error rate."""
    reason: str


class PublishedValue(Resource):
    """A number that the paper prints, and ours."""

    quantity: str
    """A field of the result's points, or `parameters`, of the net alone."""
    point: dict[str, Any]
    """The swept values of the point that the number is about."""
    label: str = ""
    """Their name, as in tables and legends; empty without a sweep."""
    printed: str
    """As printed in the paper."""
    at_least: float | None
    at_most: float | None
    """Bounds of the printed number; equal where it is one number."""
    ours: Statistic | None
    """Null where this experiment does not measure it, e.g. a ratio without a full point."""
    source: str


class SeedPlan(Resource):
    """How an experiment adds seeds until its verdicts are decided, and how far it is."""

    until: Literal["decided"] | str = "decided"
    first: int
    step: int
    at_most: int
    looks_planned: int
    """K: the looks at the verdicts if the experiment takes all its seeds."""
    confidence: float
    """Of the intervals at each look, 1 - 0.05 / K: all looks together err in at most 5 %."""
    looks_made: int = 0
    ended: OpenEnum[PlanEnd] | None = None
    """Null while it may add seeds."""


class Finding(Resource):
    """One quantity compared with bounds."""

    statement: str
    """What was measured, and what the claim says about it."""
    verdict: Literal["reproduced", "not reproduced", "inconclusive"] | str
    value: float | None
    interval: tuple[float, float] | None
    """Over seeds, at the verdict's confidence; null with one seed or without spread."""
    n: int
    reason: str
    decided_by: Literal["measurement", "theory"] | str
    """`theory`: an argument decides, whatever was measured."""
    role: Literal["part", "guard", "beside"] | str
    """`part` of the claim; `guard`, which can refute it but not support it; or `beside` it, e.g.
    a control.
    """


class Verdict(Resource):
    """One claim judged on one experiment, or on one group of its points.

    Points are grouped by the swept values that the claim is not about.
    """

    claim: int
    title: str
    statement: str
    section: str
    verdict: Literal["reproduced", "not reproduced", "inconclusive"] | str
    decided_by: Literal["measurement", "theory"] | str
    """`theory`: an argument decides, whatever was measured."""
    sentence: str
    """What was found, in one plain sentence."""
    value: float | None
    interval: tuple[float, float] | None
    """Of the finding that decides, at `confidence`."""
    n: int
    """Seeds, or separate measurements of time, of the finding that decides."""
    confidence: float
    """Of the intervals; 0.95 unless several looks at the seeds share the error rate."""
    reason: str
    findings: list[Finding]
    """The claim is reproduced where all its parts are."""
    point: dict[str, Any]
    """The swept values that this verdict is about; empty for the whole experiment."""
    label: str = ""
    """Their name, as in tables and legends; empty for the whole experiment."""
    scale: Literal["paper", "reduced"] | str
    """`paper`: data, epochs, seeds and nets, the widest included, are as large as the paper's."""
    reading: str | None
    """The reading of the paper that all its points make (`GET /readings`); null for none."""
    departures: list[str]
    """Where the experiment departs from the paper."""


class Comparison(Resource):
    """The paper's claims and published numbers next to the finished points."""

    experiment_id: str
    kind: str
    complete: bool
    """Whether every seed of every point has finished, and no seeds are added any more."""
    confidence: float = 0.95
    """Of the intervals of the verdicts; higher where several looks at them were planned."""
    seed_plan: SeedPlan | None = None
    """The looks planned and made, and why they ended; null where the seeds are a list."""
    verdicts: list[Verdict]
    own_verdicts: list[OwnVerdict] = Field(default_factory=list)
    """On the claims of the submission, in their order; `verdicts` are on those of the paper."""
    published: list[PublishedValue]
    departures: list[str]
    """Departures of the finished points from the paper's protocol.

    Each verdict has those of its own points.
    """
    choices: list[str]
    """What the finished points choose where the paper is silent."""
    note: str
    """How to read the comparison."""


class LayerInstability(Resource):
    """One layer that moves along the lines alone, over the seeds."""

    name: str
    instability: Statistic


class PointSplit(Resource):
    """The children that part after one step, over the seeds."""

    step: int
    test_error: list[Statistic]
    train_error: list[Statistic]
    instability: Statistic
    train_instability: Statistic
    layers: list[LayerInstability] = Field(default_factory=list)


class TimingSummary(Resource):
    """Timings over the seeds of a point.

    Seeds of one stack count as one measurement, so `n` and the error are of independent
    measurements.
    """

    load_seconds: Statistic
    forward_seconds: Statistic
    backward_seconds: Statistic
    optimizer_seconds: Statistic
    evaluation_seconds: Statistic
    cache_seconds: Statistic
    train_seconds: Statistic
    probe_seconds: Statistic | None = None
    """Measuring the spec's `probes`; absent without them."""


class Cordon(Resource):
    """Why a worker takes no runs: an operator cordoned it, or its host."""

    name: str
    """The id of the worker; or its host, then also for workers that start there later."""
    hand_back: bool
    """Whether what runs is saved and queued again; otherwise it is finished."""
    since: datetime


class Execution(Resource):
    """How a run is computed. It changes speed and rounding, never what is computed."""

    device: Literal["auto", "cpu", "cuda"] | str = "auto"
    """Where to compute; `auto` uses a GPU if a GPU worker is running."""
    precision: Literal["fp32", "tf32", "bf16"] | str = "fp32"
    """Arithmetic of the forward and backward pass; `tf32` needs a GPU."""
    deterministic: bool = True
    """Equal bits for equal input on the same platform and device."""
    threads: int = 1
    """CPU threads of a run's arithmetic. Another number rounds differently, so it is part of the
    identity of a training, whatever the cores of the worker.
    """
    prefix_cache: bool = True
    """Layer-wise sparse SGD caches the activations below the lowest trained layer."""
    cuda_graphs: bool = True
    """On a GPU, record a training step once and replay it; the weights are bit-equal either way."""
    stack_seeds: bool = True
    """Train the seeds of a small ReLU-Net together as one batched net."""
    seeds_per_run: Literal["auto"] | str | int = "auto"
    """How many seeds one run trains; `auto` splits stacked seeds over the workers that are free,
    else puts them into one run, and gives every other seed its own run.
    """
    requires: dict[str, str] = Field(default_factory=dict)
    """Labels that a worker must have, as `{"gpu": "h100"}`; operators set them."""


class FieldValue(Resource):
    """What an experiment has in a column of a list."""

    value: Any
    """Of a number of the result, the mean at its best point; null where the field is swept."""
    swept: list[Any] | None = None
    """The values of a swept field."""
    standard_error: float | None = None
    """Like the fields below, only of a number of the result."""
    n: int | None = None
    point: dict[str, Any] | None = None
    """The best point: the swept fields and their values."""
    points: int | None = None
    """That have this number."""


class OwnClaim(Resource):
    """What is expected of one quantity: its mean over seeds at a point, or a difference of two."""

    name: str
    quantity: str
    """A number of the kind's results, such as `test_accuracy`: as in tables, plots of sweeps and
    comparisons of experiments.
    """
    point: int = 0
    """Index of the point, as in a preview and in its runs."""
    versus: int | None = None
    """Index of another point: the claim is then about the difference, `point` less `versus`,
    paired by seed.
    """
    at_least: float | None = None
    """In the unit of the results: an accuracy is between 0 and 1."""
    at_most: float | None = None
    within: list[float] | None = None
    """`[low, high]`, both included."""


class Progress(Resource):
    fraction: float
    completed: float
    total: float
    unit: str
    eta_seconds: float | None
    """Seconds left. Of an experiment: the estimates of its open runs, multiplied by what its
    runs have taken so far in relation to theirs.
    """


class SecondsRange(Resource):
    """A rough time: between `low` and `high` seconds."""

    low: float
    high: float


class QueuePosition(Resource):
    runs_ahead: int
    """Runs that would start before its first run, if every worker took runs now and none ended."""
    workers_listening: int
    reason: str | None = None
    """Why its runs wait even when it is their turn; else null.

    No listening worker fits them, or their owner has reached the limit of running runs.
    """
    starts_in_seconds: SecondsRange | None = None
    """Roughly when its first run starts: by the estimates of the runs ahead, corrected by what
    finished runs took, and by the workers that listen. Null where it has started, or where
    that is not known.
    """


class Experiment(Resource):
    unreadable: list[str] = Field(default_factory=list)
    """Fields whose stored value cannot be read; they are empty here."""
    id: str
    owner: str | None = None
    """The owner of the key that submitted it; null where the service required no key."""
    kind: str
    name: str | None
    title: str | None = None
    """Its name; without one, what differs from the defaults: `train, width 10 to 100`."""
    labels: dict[str, str]
    priority: int
    status: OpenEnum[ExperimentStatus]
    terminal: bool
    reason: OpenEnum[FailureReason] | None
    """Why its first failed run failed."""
    detail: str | None
    progress: Progress
    queue: QueuePosition
    counts: dict[OpenEnum[RunStatus], int]
    num_points: int
    outcomes: dict[str, int] = Field(default_factory=dict)
    """Points by the outcome of their trainings: `trained`, `at_chance`, `not_finite`; empty
    until its last run has ended.
    """
    seeds: list[int]
    seed_plan: SeedPlan | None = None
    """How it adds seeds until its verdicts are decided; null where its seeds are a list."""
    sweep: dict[str, list[Any]]
    spec: dict[str, Any]
    """The expanded spec before the sweep."""
    claims: list[OwnClaim] = Field(default_factory=list)
    """What the submission expects to find."""
    execution: Execution
    max_seconds: int | None
    keep: OpenEnum[Keep]
    digest: str
    reused: bool
    """Whether the response is an earlier, identical experiment."""
    imported_from: str | None = None
    """Its id at the service that computed it; an imported experiment is read-only."""
    notes: str | None = None
    fields: dict[str, FieldValue] | None = None
    """The columns that a list was asked for, by name; a column without a value is left out."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: dict[str, str]


class Dataset(Resource):
    unreadable: list[str] = Field(default_factory=list)
    """Fields whose stored value cannot be read; they are empty here."""
    name: str
    title: str
    shape: list[int]
    """Of one example: channels, height and width of an image, or the number of features; empty
    where it cannot be read.
    """
    dtype: Literal["uint8", "float32"] | str = "uint8"
    """As which the examples are stored."""
    num_classes: int
    train_size: int
    test_size: int
    source: Literal["embedded", "download", "generated", "registered"] | str
    available: bool | None
    """Whether it is on the API's machine; null where only loading it would show."""
    class_counts: dict[str, list[int]] | None = None
    """Examples of each class in `train` and `test`; null means equally many, or not known."""
    class_names: list[str] | None = None
    feature_names: list[str] | None = None
    notes: list[str]
    """What the import left out or changed."""
    version: int = 1
    """Counts the files that were registered under this name, each in place of the one before."""
    sha256: str | None = None
    bytes: int | None = None
    created_at: datetime | None = None
    """When this version was registered."""


class ExampleImages(Resource):
    """The first train images of one class."""

    label: int
    png: str
    """Base64 of a PNG that shows them side by side."""


class ExampleRows(Resource):
    """The first train examples of a table, and their first features."""

    names: list[str]
    values: list[list[float]]
    labels: list[int]


class DatasetPreview(Resource):
    """What an import would store. Nothing is stored."""

    dataset: Dataset
    """As it would be stored; `created_at` is null."""
    columns: list[str] | None
    """Of a table: the first columns, each of which may be that of the labels."""
    images: list[ExampleImages]
    """Of the first classes; empty where the examples are no images or the file is too large."""
    rows: ExampleRows | None
    conflict: str | None
    """Why the import would be refused under this name; null where it would not."""


class Deletion(Resource):
    id: str
    deleted: bool
    dry_run: bool
    bytes: int
    """Bytes of stored files that nothing else refers to."""
    runs: int
    artifacts: int


class EpochSpan(Resource):
    """A number of epochs."""

    epochs: int


class Event(Resource):
    """One event. `sequence` counts from 1 within the experiment, without gaps."""

    unreadable: list[str] = Field(default_factory=list)
    """Fields whose stored value cannot be read; they are empty here."""
    sequence: int
    name: str
    run_id: str | None
    at: datetime
    data: dict[str, Any]


class SpecDifference(Resource):
    """A submitted field that is not equal in all experiments."""

    path: str
    """Dotted: `spec.epochs`, `sweep.policy.rho`, `seeds`, `execution.precision`."""
    values: dict[str, Any]
    """By experiment id; an experiment without the field is left out."""


class ExperimentComparison(Resource):
    """Experiments side by side."""

    experiments: list[ComparedExperiment]
    """In the order of the request; differences are to the first."""
    spec: list[SpecDifference]
    quantities: list[str]
    """What answers the kinds' questions, and the other statistics of the results;
    `test_accuracy` first; empty while there is no result.
    """
    headline: str | None = None
    """What answers the question of the first experiment's kind best; null while it has no
    result.
    """
    results: list[ComparedQuantity]
    """The requested quantity, or all quantities."""


class ExperimentStorage(Resource):
    id: str
    name: str | None
    files: int
    bytes: int


class FileDeletion(Resource):
    """The deletion of a data set or of an uploaded checkpoint."""

    id: str
    """The id of the checkpoint, or the name of the data set."""
    deleted: bool
    dry_run: bool
    bytes: int
    """Bytes of the uploaded file."""


class StepSpan(Resource):
    """A number of optimiser steps."""

    steps: int


class FreezeBottomUpPolicy(Resource):
    """All layers at first; then one after the other freezes, from the bottom; the top never
    does.

    Freeze Training (SVCCA, arXiv 1706.05806), which rests on the finding that layers converge
    from the bottom up. The times at which layers freeze are ours: without `every`, layer i of
    L, counted from 0, freezes after the share (i + 1) / L of the epochs, rounded up.
    """

    name: Literal["freeze_bottom_up"] = "freeze_bottom_up"
    every: EpochSpan | StepSpan | None = None
    """One more layer freezes after each `{"epochs": n}` or `{"steps": n}`; null spreads them
    evenly over the training.
    """


class FreezeOutPolicy(Resource):
    """Each layer's learning rate falls to 0 by a cosine at its own time, and the layer freezes.

    FreezeOut (arXiv 1706.04983). Layer i of L, counted from 0 at the bottom, freezes after
    the share t_i of the training: t_i = t0 + (1 - t0) i / (L - 1), or that cubed; the top
    layer trains to the end. Scaled learning rates start at lr / t_i, so that every layer has
    the same sum of rates. The defaults are those of the author's code. It needs the schedule
    `cosine`, whose time it shortens for each layer; with t0 = 1 it is full training.
    """

    name: Literal["freeze_out"] = "freeze_out"
    t0: float = 0.8
    """Share of the training after which the bottom layer freezes, before it is cubed."""
    spacing: Literal["cubic", "linear"] | str = "cubic"
    """`cubic` cubes the shares, `linear` does not."""
    scaled: bool = True
    """Whether a layer's learning rate starts at lr divided by its share."""


class FullPolicy(Resource):
    """Every layer in every epoch: vanilla SGD."""

    name: Literal["full"] = "full"


class StepSummary(Resource):
    """One step over the seeds that reached it with a finite gradient."""

    step: int
    p: int
    quantiles: dict[str, Statistic]
    """Quantiles of |g_i| by percent: `50` is the median, `100` the largest."""
    share_of_norm: dict[str, Statistic]
    """Share of the squared norm that the largest components hold, by their percentage."""
    near_zero: Statistic
    """Share of the components smaller than 1 % of the largest one."""
    zeros: Statistic
    """Share of the components that are exactly zero."""


class GradualUnfreezePolicy(Resource):
    """The top layer at first; then one more joins, from the top down, until all train.

    Gradual unfreezing (ULMFiT, arXiv 1801.06146), where a layer joins after each epoch.
    """

    name: Literal["gradual_unfreeze"] = "gradual_unfreeze"
    every: EpochSpan | StepSpan = json_default('{"epochs": 1}')
    """One more layer joins after each `{"epochs": n}` or `{"steps": n}`."""


class Health(Resource):
    status: str


class KindResource(Resource):
    name: str
    title: str
    description: str
    spec_schema: dict[str, Any]
    """JSON Schema of the spec"""
    result_schema: dict[str, Any]
    """JSON Schema of a point of the result"""
    plots: list[str]
    example: dict[str, Any]
    page: str
    """What is measured, by which formula (Markdown)"""


class LayerResource(Resource):
    """One layer, as policies and sweeps count them."""

    name: str
    kind: str
    """`linear`, `conv`, or `block` for several weights"""
    parameters: int
    output_shape: list[int]
    """Of one example"""
    tensors: list[str]
    """The names of its parameters, as in a theta file"""
    forward_flops: int
    """Of one example; a multiply-add counts 2"""
    normalises_by_batch: bool
    """Whether, in training, its output for an example depends on the others of the batch"""
    is_random: bool
    """Whether it draws random numbers in training, as dropout does"""


class Used(Resource):
    """What the key's owner uses; without keys, what all use."""

    queued: int
    running: int
    bytes: int
    """Of stored files; like `metric_rows`, counted at most a minute ago."""
    metric_rows: int


class Limits(Resource):
    """The limits in force; each is a setting of the same name."""

    max_body_bytes: int
    max_dataset_bytes: int
    max_import_bytes: int
    max_points: int
    """Per experiment, like `max_runs`."""
    max_runs: int
    max_parameters: int
    """Estimated, per run, like `max_memory_bytes` and `max_flops`."""
    max_memory_bytes: int
    max_flops: float
    max_attempts: int
    max_sse_clients: int
    max_queued_runs: int
    """Of all owners together, like `max_stored_bytes` and `max_metric_rows`; null: no limit."""
    max_stored_bytes: int | None
    max_metric_rows: int | None
    limit_queued_per_owner: int
    limit_running_per_owner: int | None
    limit_streams_per_owner: int
    limit_bytes_per_owner: int
    limit_metrics_per_owner: int
    max_reads_per_minute: int
    """Per key, like `max_writes_per_minute`."""
    max_writes_per_minute: int
    max_cpu_seconds_per_minute: float
    max_failed_keys_per_minute: int
    """Per client address."""
    used: Used
    scopes: list[OpenEnum[Scope]] | None = None
    """What the request's key may do; all scopes where the service requires no key. Null from an
    older service, which does not tell it.
    """


class LisaPolicy(Resource):
    """The bottom and the top layer always, and m of the middle layers, drawn again and again.

    LISA (arXiv 2403.17919): every draw takes m middle layers, all equally likely. The
    defaults are those of the authors' published script for LMFlow: one layer, 20 steps. Here
    the optimiser's moments of a layer that freezes are kept for its next turn.
    """

    name: Literal["lisa"] = "lisa"
    m: int = 1
    """Middle layers that train at a time."""
    draw_every: EpochSpan | StepSpan = json_default('{"steps": 20}')
    """How long drawn layers train: `{"epochs": n}` or `{"steps": n}`; then they are drawn again."""


class PointSeries(Resource):
    """One series of pruned nets over the seeds, by round."""

    series: Literal["ticket", "fresh", "random"] | str
    left_percent: list[float]
    """Percent of the weights that are left."""
    counts: list[int]
    """Number of weights that are left."""
    test_accuracy: list[Statistic]
    """At the end of each training."""
    gain: list[Statistic]
    """Test accuracy less that of the whole net, paired by seed."""
    stop_epoch: list[Statistic | None]
    """The evaluated epoch with the lowest test loss; null where a seed has none."""


class MiddlePolicy(Resource):
    """All layers except the top one and the bottom one."""

    name: Literal["middle"] = "middle"


class NormPolicy(Resource):
    """Only scales and shifts of normalisations, and with `head` the whole top layer.

    As in arXiv 2003.00152, where nothing but batch normalisation trains.
    """

    name: Literal["norm"] = "norm"
    head: bool = False
    """Whether the whole top layer trains too."""


class ProbTopKBottomQPolicy(Resource):
    """The top k layers in every epoch; with probability rho also the bottom q layers."""

    name: Literal["prob_top_k_bottom_q"] = "prob_top_k_bottom_q"
    k: int = 1
    """Layers trained from the top (the output side)."""
    q: int = 1
    """Layers trained from the bottom (the input side)."""
    rho: float = 0.1
    """Probability that a draw trains the bottom layers too."""
    draw_every: EpochSpan | StepSpan = json_default('{"epochs": 1}')
    """How long drawn layers train: `{"epochs": n}` or `{"steps": n}`; then they are drawn again."""


class RandomBetaPolicy(Resource):
    """The top k layers, k = round(1 + (d - 1) b) with b ~ Beta(alpha, beta) drawn each epoch.

    d is the number of layers, as in `random_uniform`.
    """

    name: Literal["random_beta"] = "random_beta"
    alpha: float = 2.0
    """First parameter of the beta distribution."""
    beta: float = 5.0
    """Second parameter of the beta distribution."""
    draw_every: EpochSpan | StepSpan = json_default('{"epochs": 1}')
    """How long drawn layers train: `{"epochs": n}` or `{"steps": n}`; then they are drawn again."""


class RandomUniformPolicy(Resource):
    """The top k layers, k drawn uniformly from {1..d} each epoch, d being the number of layers.

    The paper says d is the depth. Elsewhere its depth counts hidden layers only (Section 3),
    but its times fit k up to 11 in VGG-11: Random-Uniform and Random-Beta would then take
    0.44 and 0.16 of the time of full, and 0.38 and 0.14 if the bottom layer never trained;
    Table 1 has 0.45 and 0.16 (docs/decisions/0008).
    """

    name: Literal["random_uniform"] = "random_uniform"
    draw_every: EpochSpan | StepSpan = json_default('{"epochs": 1}')
    """How long drawn layers train: `{"epochs": n}` or `{"steps": n}`; then they are drawn again."""


class ScheduleRow(Resource):
    """The layers that train from an epoch on."""

    epoch: int
    """The first of these epochs; 1 is the first."""
    layers: Literal["all"] | str | list[int] = "all"
    """Layers counted from 0 at the bottom, or `all`."""


class SchedulePolicy(Resource):
    """The layers that a table names: each row holds from its epoch until that of the next."""

    name: Literal["schedule"] = "schedule"
    table: list[ScheduleRow] = json_default('[{"epoch": 1, "layers": "all"}]')
    """Rows by ascending epoch, the first at epoch 1."""


class TopKAllBottomsPolicy(Resource):
    """The top k layers in every epoch; with probability rho the whole net."""

    name: Literal["top_k_all_bottoms"] = "top_k_all_bottoms"
    k: int = 1
    """Layers trained from the top (the output side)."""
    rho: float = 0.1
    """Probability that a draw trains the bottom layers too."""
    draw_every: EpochSpan | StepSpan = json_default('{"epochs": 1}')
    """How long drawn layers train: `{"epochs": n}` or `{"steps": n}`; then they are drawn again."""


class TopKBottomQPolicy(Resource):
    """The union of the top k and the bottom q layers in every epoch."""

    name: Literal["top_k_bottom_q"] = "top_k_bottom_q"
    k: int = 1
    """Layers trained from the top (the output side)."""
    q: int = 1
    """Layers trained from the bottom (the input side)."""


class TopKPolicy(Resource):
    """The top k layers in every epoch."""

    name: Literal["top_k"] = "top_k"
    k: int = 1
    """Layers trained from the top (the output side)."""


class MetricValue(Resource):
    point: int
    seed: int
    name: str
    step: int
    value: float | None


class Metrics(MetricTable):
    items: list[MetricValue]
    next_cursor: str | None = None
    sampled: bool = False
    """Whether steps were left out, so that each series has at most `points` steps."""


class ModelResource(Resource):
    """A network."""

    name: str
    title: str
    model: dict[str, Any]
    """The `model` of a spec"""
    dataset: str | None
    """The data set whose shape and classes the net takes; null where no layers are told"""
    parameters: int | None
    forward_flops: int | None
    """Of one example"""
    layers: list[LayerResource] | None
    """Bottom first; null for torchvision and plug-ins in the list: `GET /models/{name}` has them"""
    spec_schema: dict[str, Any]
    """JSON Schema of `model`"""


class OrphanStorage(Resource):
    files: int
    bytes: int
    older_than_seconds: float
    """Younger files may belong to an upload in progress; they are not counted."""


class PlotQuantity(Resource):
    """A number of the answer that a plot of the sweep can show."""

    name: str
    title: str
    unit: str
    """`accuracy`, `share`, `difference`, `percent`, `seconds`, `ratio`, `loss`, `count` or
    empty.
    """
    better: Literal["higher", "lower"] | str | None
    """Which of two values is better; null where neither."""


class Plot(Resource):
    name: str
    title: str
    description: str
    applies: bool = True
    """Whether it shows anything of this experiment; else no links."""
    reason: str | None = None
    """Why it does not apply."""
    shows: Literal["sweep", "points", "all"] | str = "points"
    """`sweep`: a quantity over the swept fields; `points`: curves, bars or maps of points, of
    which `points=` chooses; `all`: every point.
    """
    quantities: list[PlotQuantity] = Field(default_factory=list)
    """Of plots of the sweep: the values of `quantity=`, the default first. Empty while no run
    has finished.
    """
    links: dict[str, str]


class PluginProblemResource(Resource):
    """Why a plug-in, or one of its nets, cannot be used."""

    model: str | None
    """The net; null where the whole plug-in cannot be read"""
    message: str
    """With the line"""


class PluginResource(Resource):
    """A plug-in that workers have read."""

    origin: str
    """The file or the distribution"""
    models: list[str]
    """The nets that it offers"""
    problems: list[PluginProblemResource]


class PresetResource(Resource):
    name: str
    scale: str
    title: str
    description: str
    kind: str
    plots: list[str]
    reading: str | None
    """The reading of the paper (`GET /readings`) that its specs make; null for none."""
    departures: list[str]
    """Where it departs from what the paper prints."""
    choices: list[str]
    """What it chooses where the paper is silent."""
    body: dict[str, Any]


class ReadingResource(Resource):
    """A reading of the paper: what it takes the paper's open choices to be."""

    name: str
    sentence: str
    """Why this reading."""
    fields: dict[str, Any]
    """The fields of a spec that it sets, where the kind has them."""


class RunPoint(Resource):
    index: int
    values: dict[str, Any]


class Run(Resource):
    unreadable: list[str] = Field(default_factory=list)
    """Fields whose stored value cannot be read; they are empty here."""
    id: str
    experiment_id: str
    point: RunPoint
    seeds: list[int]
    status: OpenEnum[RunStatus]
    terminal: bool
    attempts: int
    interruptions: int
    reason: OpenEnum[FailureReason] | None
    detail: str | None
    device: str | None
    worker: str | None
    progress: Progress
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    elapsed_seconds: float | None
    """Computing time of all attempts."""
    manifest: dict[str, Any] | None
    """Expanded spec, digest, versions, device, data set sha256, determinism."""
    links: dict[str, str]


class Weights(Resource):
    """An uploaded checkpoint, from which `init` can start by its id."""

    unreadable: list[str] = Field(default_factory=list)
    """Fields whose stored value cannot be read; they are empty here."""
    id: str
    title: str | None
    parameters: int
    tensors: dict[str, list[int]]
    """Shapes by name."""
    dtypes: dict[str, str] | None = None
    """Types by name, such as `bfloat16`; null for a checkpoint of an earlier version."""
    notes: list[str]
    """Which types are converted to float32, and how."""
    sha256: str
    bytes: int
    created_at: datetime


class Worker(Resource):
    unreadable: list[str] = Field(default_factory=list)
    """Fields whose stored value cannot be read; they are empty here."""
    id: str
    host: str
    device: str
    """`cpu`, or the GPU's name."""
    device_class: Literal["cpu", "gpu"] | str
    slots: int
    """Runs it can execute at once: its child processes that are ready."""
    runs: list[str]
    memory_bytes: int
    """Memory of its device."""
    gpu_memory: int | None = None
    """The same where the device is a GPU; null on a CPU."""
    host_memory_bytes: int = 0
    """Memory of its machine; 0 for older workers, which do not report it."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Set by its operator, for `execution.requires`."""
    versions: dict[str, str]
    started_at: datetime
    seen_at: datetime
    clock_ahead_seconds: float | None
    """How far its clock was ahead of the database's when it was last seen."""
    listening: bool
    """Whether it takes runs: it was seen lately, has a ready slot, and is not cordoned."""
    cordon: Cordon | None = None


class PointCurve(Resource):
    """One mode's test accuracy over the seeds."""

    mode: Literal["active", "lazy", "random"] | str
    fractions_percent: list[float]
    counts: list[int]
    """Number of parameters in each fraction."""
    test_accuracy: list[Statistic]
    """At each fraction."""
    lost: dict[str, Statistic] = Field(default_factory=dict)
    """At 0.1, 1 and 10 %, where they were swept: accuracy of the trained net less that at the
    fraction, paired by seed.
    """


class PointDifference(Resource):
    """The difference of two points, paired by seed."""

    experiment_id: str
    point: RunPoint
    baseline: RunPoint
    complete: bool
    """Whether every seed of both points has finished."""
    seeds: list[int]
    """The seeds that both points have finished."""
    difference: dict[str, Statistic]
    """By quantity: the point minus the baseline, paired by seed."""
    ratio: dict[str, Statistic]
    """By time: the point divided by the baseline, paired by seed."""
    notes: list[str]


class PointLayer(Resource):
    """One layer reset as a whole, over the seeds."""

    name: str
    num_parameters: int
    test_accuracy: Statistic


class PointMask(Resource):
    """One mask's trainings over the seeds."""

    mask: Literal["movement", "gradient_weight", "random", "by_layer"] | str
    shares_percent: list[float]
    """Percent of all parameters that may move."""
    counts: list[int]
    """Number of parameters that may move."""
    test_accuracy: list[Statistic]
    """At each share."""
    loss: list[Statistic]
    """Test accuracy of the training with all parameters less this, paired by seed."""


class PreviewGrowth(Resource):
    """What an experiment that adds seeds until its verdicts are decided may become."""

    looks_planned: int
    """K: the looks at the verdicts if it takes all its seeds."""
    confidence: float
    """Of the intervals at each look, 1 - 0.05 / K."""
    num_seeds: int
    """The most, like `num_runs`, `flops` and `seconds`."""
    num_runs: int
    flops: float
    seconds: float


class PreviewPoint(Resource):
    index: int
    values: dict[str, Any]
    spec: dict[str, Any]
    digest: str
    parameters: int
    flops: float
    memory_bytes: int
    seconds: float
    probe_seconds: float = 0.0
    """Of `seconds`, those of the spec's `probes`."""
    basis: Literal["measured", "model"] | str
    trained_by: int | None
    """The index of the point whose trainings this one loads, as both train the same net.

    None where it loads finished trainings for all its seeds.
    """
    reused_seeds: list[int]
    """Seeds whose finished training would be loaded."""
    reused: list[ReusedTraining]
    """The same, with the run of each training."""


class Preview(Resource):
    """What a submission would do; nothing is started.

    With seeds until the verdicts are decided, the numbers are those of the first look.
    """

    points: list[PreviewPoint]
    num_runs: int
    num_seeds: int
    parameters: int
    flops: float
    memory_bytes: int
    """Of the largest run."""
    seconds: float
    """Device seconds of all runs together. A training that is loaded takes none, like its FLOPs."""
    probe_seconds: float = 0.0
    """Of `seconds`, those of `probes`."""
    basis: Literal["measured", "model"] | str
    growth: PreviewGrowth | None = None
    """The most that it may become; null for a list of seeds."""
    reuses_experiment: str | None
    """Id of an identical experiment that would be returned instead."""
    warnings: list[str]
    departures: list[str]
    """What differs from the paper in the first 100 points, where the kind's results are compared
    with its claims; each verdict tells them again.
    """


class ProblemError(Resource):
    """One invalid field. `pointer` is an RFC 6901 pointer into the request's body."""

    pointer: str
    code: str
    detail: str


class Problem(Resource):
    """An error, as every route returns it."""

    type: str
    """Where the guide explains the code: a path of the service, with an anchor."""
    title: str
    status: int
    code: OpenEnum[ProblemCode]
    detail: str
    instance: str | None = None
    request_id: str | None = None
    errors: list[ProblemError] | None = None


class WaitingExperiment(Resource):
    """An experiment with queued runs."""

    id: str
    title: str
    """Its name; without one, what differs from the defaults."""
    status: OpenEnum[ExperimentStatus]
    queued: int
    """Its queued runs."""
    starts_in_seconds: SecondsRange | None
    """As in `queue` of the experiment."""


class QueueState(Resource):
    queued: int
    running: int
    by_kind: dict[str, int]
    workers_listening: int
    """Slots that are ready to execute runs."""
    reason: str | None = None
    """Why no worker takes queued runs of the key's owner; null if a listening worker fits each."""
    oldest_queued_seconds: float | None
    waiting: list[WaitingExperiment] = Field(default_factory=list)
    """The first 50 experiments of the key's owner with queued runs, by priority and age."""


class Readiness(Resource):
    ready: bool
    database: bool
    broker: bool
    workers_listening: int


class RoleStorage(Resource):
    role: Literal["checkpoint", "artifact", "resume", "dataset", "weights"] | str
    files: int
    bytes: int


class Storage(Resource):
    bytes: int
    """Bytes of all files that something refers to, each counted once."""
    roles: list[RoleStorage]
    largest_experiments: list[ExperimentStorage]
    orphans: OrphanStorage
    """Files that nothing refers to; `richregime gc` deletes them, and workers do regularly."""
    free_bytes: int | None
    """Free bytes on the disk; null for an object store."""


class PointResult(Resource):
    """The result of a point over its seeds: the fields that the points of every kind have."""

    point: dict[str, Any]
    """The swept fields and their values."""
    outcome: Literal["trained", "at_chance", "not_finite"] | str
    """The worst of its seeds: `not_finite` before `at_chance` before `trained`."""
    untrained_seeds: list[int] = Field(default_factory=list)
    seeds: list[int]
    test_accuracy: Statistic
    notes: list[str] = Field(default_factory=list)
    probes: dict[str, Statistic] = Field(default_factory=dict)
    """What the spec's `probes` measured at their last epoch, by metric, over the seeds with a
    finite value.
    """


class Result(Resource):
    """The result of an experiment; the base of each kind's own class."""

    kind: str
    points: tuple[PointResult, ...]
    """One result per point, as the kind's `result_schema` describes it."""
    seeds: int
    reused: list[ReusedTraining]
    """Trainings that were loaded instead of repeated, and the run that each was taken from."""


class TrainPointResult(PointResult):
    """One point over its seeds."""

    initial_test_accuracy: Statistic
    train_loss: Statistic | None
    """Null where some seed's loss was not finite."""
    timings: TimingSummary


class TrainResult(Result):
    """The result of the kind `train`."""

    kind: Literal["train"]
    points: tuple[TrainPointResult, ...]


class ActivityMapPointResult(PointResult):
    """One point over its seeds."""

    alphas_percent: list[float]
    num_epochs: Statistic
    """Epochs counted."""
    layers: list[LayerSummary]
    """Bottom first."""
    tied_share: dict[str, Statistic | None]
    """By alpha: share of the active set that was chosen by index among equal gradients."""
    zero_share: Statistic | None
    """Share of all gradient components that were exactly zero."""


class ActivityMapResult(Result):
    """The result of the kind `activity_map`."""

    kind: Literal["activity_map"]
    points: tuple[ActivityMapPointResult, ...]


class ConnectivityPointResult(PointResult):
    """One point over its seeds. `test_accuracy` is of child 1."""

    initial_test_accuracy: Statistic
    splits: list[PointSplit]
    """Ascending; over the seeds whose children are finite."""
    stable_from_step: int | None
    """The first split from which on the mean instability is below 2 % at every split; null where
    there is none, or where the net did not train.
    """
    timings: TimingSummary
    """Of the training that is child 1."""


class ConnectivityResult(Result):
    """The result of the kind `connectivity`."""

    kind: Literal["connectivity"]
    points: tuple[ConnectivityPointResult, ...]


class SpectrumPointResult(PointResult):
    """One point over its seeds."""

    steps: list[StepSummary]
    """A step that no seed reached with a finite gradient is left out."""


class GradientSpectrumResult(Result):
    """The result of the kind `gradient_spectrum`."""

    kind: Literal["gradient_spectrum"]
    points: tuple[SpectrumPointResult, ...]


class LotteryPointResult(PointResult):
    """One point over its seeds. `test_accuracy` is of the whole net."""

    initial_test_accuracy: Statistic
    num_weights: int
    """Weights that can be pruned."""
    curves: list[PointSeries]
    pruned_seconds: Statistic


class LotteryResult(Result):
    """The result of the kind `lottery`."""

    kind: Literal["lottery"]
    points: tuple[LotteryPointResult, ...]


AnyPolicy = Annotated[
    FullPolicy
    | TopKPolicy
    | BottomQPolicy
    | TopKBottomQPolicy
    | MiddlePolicy
    | ProbTopKBottomQPolicy
    | TopKAllBottomsPolicy
    | RandomUniformPolicy
    | RandomBetaPolicy
    | LisaPolicy
    | FreezeOutPolicy
    | FreezeBottomUpPolicy
    | GradualUnfreezePolicy
    | SchedulePolicy
    | BiasPolicy
    | NormPolicy
    | dict[str, Any],
    Field(union_mode="left_to_right"),
]


class LwsPointResult(PointResult):
    """One point over its seeds.

    Ratios and `difference` are to the `full` point whose spec is otherwise equal. A ratio is
    the mean of one ratio for each separate measurement; Table 1 prints ratios of mean times.
    """

    policy: AnyPolicy
    initial_test_accuracy: Statistic
    difference: Statistic | None
    """Test accuracy minus that of `full`, paired by seed; null without such a point."""
    difference_to_xavier: Statistic | None
    """The same to `full` from Xavier initialisation, as Table 1 prints it of pretrained nets."""
    backward_seconds: Statistic
    """Time inside backward, summed over training. Of the seeds whose training did not end early,
    where there are any.
    """
    backward_ratio: Statistic | None
    train_seconds: Statistic
    """Load, forward, backward, optimiser and cache."""
    train_ratio: Statistic | None
    epochs_by_lowest_layer: list[Statistic]
    """For each layer, bottom first: in how many epochs it was the lowest one trained."""
    timings: TimingSummary


class LwsResult(Result):
    """The result of the kind `lws`."""

    kind: Literal["lws"]
    points: tuple[LwsPointResult, ...]


class ReinitPointResult(PointResult):
    """One point over its seeds. `test_accuracy` is of the trained net."""

    initial_test_accuracy: Statistic
    """Of the random net."""
    num_parameters: int
    curves: list[PointCurve]
    layers: list[PointLayer] = Field(default_factory=list)
    """Mode `layer`, bottom first."""
    sweep_seconds: Statistic
    timings: TimingSummary
    """Of the training."""


class ReinitSweepResult(Result):
    """The result of the kind `reinit_sweep`."""

    kind: Literal["reinit_sweep"]
    points: tuple[ReinitPointResult, ...]


class SparseTrainPointResult(PointResult):
    """One point over its seeds. `test_accuracy` is of the training with all parameters."""

    initial_test_accuracy: Statistic
    num_parameters: int
    curves: list[PointMask]
    masked_seconds: Statistic


class SparseTrainResult(Result):
    """The result of the kind `sparse_train`."""

    kind: Literal["sparse_train"]
    points: tuple[SparseTrainPointResult, ...]


RESULTS: Mapping[str, type[Result]] = MappingProxyType(
    {
        "train": TrainResult,
        "activity_map": ActivityMapResult,
        "connectivity": ConnectivityResult,
        "gradient_spectrum": GradientSpectrumResult,
        "lottery": LotteryResult,
        "lws": LwsResult,
        "reinit_sweep": ReinitSweepResult,
        "sparse_train": SparseTrainResult,
    }
)
"""The class of the result of each kind."""
