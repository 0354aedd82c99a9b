"""Resources that the API returns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from engine.own_claims.claim import OwnClaim
from engine.spec import Execution
from schemas.access import Scope
from schemas.base import Request, Resource, StoredResource, UtcDatetime
from schemas.links import Links
from schemas.seed_plan import SeedPlan
from schemas.status import ExperimentStatus, FailureReason, RunStatus
from schemas.submission import MAX_LABELS, Keep, Label

MAX_NOTES = 10_000
"""Characters"""


class Progress(Resource):
    fraction: float
    completed: float
    total: float
    unit: str
    eta_seconds: float | None
    """Seconds left. Of an experiment: the estimates of its open runs, multiplied by what its runs
    have taken so far in relation to theirs."""


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
    finished runs took, and by the workers that listen. Null where it has started, or where that is
    not known."""


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


class Experiment(StoredResource):
    id: str
    owner: str | None = None
    """The owner of the key that submitted it; null where the service required no key."""
    kind: str
    name: str | None
    title: str | None = None
    """Its name; without one, what differs from the defaults: `train, width 10 to 100`."""
    labels: dict[str, str]
    priority: int
    status: ExperimentStatus
    terminal: bool
    reason: FailureReason | None
    """Why its first failed run failed."""
    detail: str | None
    progress: Progress
    queue: QueuePosition
    counts: dict[RunStatus, int]
    num_points: int
    outcomes: dict[str, int] = Field(default_factory=dict)
    """Points by the outcome of their trainings: `trained`, `at_chance`, `not_finite`; empty until
    its last run has ended."""
    seeds: list[int]
    seed_plan: SeedPlan | None = None
    """How it adds seeds until its verdicts are decided; null where its seeds are a list."""
    sweep: dict[str, list[Any]]
    spec: dict[str, Any]
    """The expanded spec before the sweep."""
    claims: list[OwnClaim] = Field([])
    """What the submission expects to find."""
    execution: Execution
    max_seconds: int | None
    keep: Keep
    digest: str
    reused: bool
    """Whether the response is an earlier, identical experiment."""
    imported_from: str | None = None
    """Its id at the service that computed it; an imported experiment is read-only."""
    notes: str | None = None
    fields: dict[str, FieldValue] | None = None
    """The columns that a list was asked for, by name; a column without a value is left out."""
    created_at: UtcDatetime
    started_at: UtcDatetime | None
    finished_at: UtcDatetime | None
    links: Links


class ExperimentUpdate(Request):
    """Fields that may change after submission.

    Absent fields stay; a null name removes it, and so do null notes.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    labels: dict[Label, Label] | None = Field(None, max_length=MAX_LABELS)
    priority: int | None = Field(None, ge=-10, le=10)
    notes: Annotated[str, StringConstraints(max_length=MAX_NOTES)] | None = None
    """Plain text."""


class Deletion(Resource):
    id: str
    deleted: bool
    dry_run: bool
    bytes: int
    """Bytes of stored files that nothing else refers to."""
    runs: int
    artifacts: int


class FileDeletion(Resource):
    """The deletion of a data set or of an uploaded checkpoint."""

    id: str
    """The id of the checkpoint, or the name of the data set."""
    deleted: bool
    dry_run: bool
    bytes: int
    """Bytes of the uploaded file."""


class RunPoint(Resource):
    index: int
    values: dict[str, Any]


class Run(StoredResource):
    id: str
    experiment_id: str
    point: RunPoint
    seeds: list[int]
    status: RunStatus
    terminal: bool
    attempts: int
    interruptions: int
    reason: FailureReason | None
    detail: str | None
    device: str | None
    worker: str | None
    progress: Progress
    cancel_requested: bool
    created_at: UtcDatetime
    started_at: UtcDatetime | None
    finished_at: UtcDatetime | None
    elapsed_seconds: float | None
    """Computing time of all attempts."""
    manifest: dict[str, Any] | None
    """Expanded spec, digest, versions, device, data set sha256, determinism."""
    links: Links


class Artifact(Resource):
    id: str
    run_id: str
    name: str
    seed: int | None
    media_type: str
    sha256: str
    bytes: int
    created_at: UtcDatetime
    links: Links


class Checkpoint(Resource):
    id: str
    run_id: str
    name: str
    seed: int | None
    epoch: int | None
    sha256: str
    bytes: int
    created_at: UtcDatetime
    links: Links


class Cordon(Resource):
    """Why a worker takes no runs: an operator cordoned it, or its host."""

    name: str
    """The id of the worker; or its host, then also for workers that start there later."""
    hand_back: bool
    """Whether what runs is saved and queued again; otherwise it is finished."""
    since: UtcDatetime


class Worker(StoredResource):
    id: str
    host: str
    device: str
    """`cpu`, or the GPU's name."""
    device_class: Literal["cpu", "gpu"]
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
    started_at: UtcDatetime
    seen_at: UtcDatetime
    clock_ahead_seconds: float | None
    """How far its clock was ahead of the database's when it was last seen."""
    listening: bool
    """Whether it takes runs: it was seen lately, has a ready slot, and is not cordoned."""
    cordon: Cordon | None = None


class WaitingExperiment(Resource):
    """An experiment with queued runs."""

    id: str
    title: str
    """Its name; without one, what differs from the defaults."""
    status: ExperimentStatus
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
    waiting: list[WaitingExperiment] = Field([])
    """The first 50 experiments of the key's owner with queued runs, by priority and age."""


class Weights(StoredResource):
    """An uploaded checkpoint, from which `init` can start by its id."""

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
    created_at: UtcDatetime


class Dataset(StoredResource):
    name: str
    title: str
    shape: Annotated[list[int], Field(max_length=3)]
    """Of one example: channels, height and width of an image, or the number of features; empty
    where it cannot be read."""
    dtype: Literal["uint8", "float32"] = "uint8"
    """As which the examples are stored."""
    num_classes: int
    train_size: int
    test_size: int
    source: Literal["embedded", "download", "generated", "registered"]
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
    created_at: UtcDatetime | None = None
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


class RoleStorage(Resource):
    role: Literal["checkpoint", "artifact", "resume", "dataset", "weights"]
    files: int
    bytes: int


class ExperimentStorage(Resource):
    id: str
    name: str | None
    files: int
    bytes: int


class OrphanStorage(Resource):
    files: int
    bytes: int
    older_than_seconds: float
    """Younger files may belong to an upload in progress; they are not counted."""


class Storage(Resource):
    bytes: int
    """Bytes of all files that something refers to, each counted once."""
    roles: list[RoleStorage]
    largest_experiments: list[ExperimentStorage]
    orphans: OrphanStorage
    """Files that nothing refers to; `richregime gc` deletes them, and workers do regularly."""
    free_bytes: int | None
    """Free bytes on the disk; null for an object store."""


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
    scopes: list[Scope] | None = None
    """What the request's key may do; all scopes where the service requires no key. Null from an
    older service, which does not tell it.
    """
