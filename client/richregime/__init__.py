"""Python client of the richregime service: submit, follow and fetch experiments.

`Client` blocks; `AsyncClient` has the same methods as coroutines. Names are imported when they are
first used, so that `import richregime` and the command line start fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from richregime.async_client import AsyncClient
    from richregime.checks import ClaimCheck
    from richregime.client import Client
    from richregime.errors import (
        BadDownload,
        ClientError,
        ExportFailed,
        ExtraMissing,
        InvalidArgument,
        InvalidConnection,
        ProblemError,
        ServiceUnreachable,
        UnexpectedResponse,
        WaitTimeout,
    )
    from richregime.resource import CountedPage, Page
    from richregime.types import (
        ActionReport,
        ActivityMapPointResult,
        ActivityMapResult,
        AggregatedMetrics,
        Artifact,
        AuditEntry,
        Checkpoint,
        Comparison,
        ConnectivityPointResult,
        ConnectivityResult,
        Dataset,
        DatasetPreview,
        Deletion,
        Event,
        Execution,
        Experiment,
        ExperimentComparison,
        FileDeletion,
        GradientSpectrumResult,
        KindResource,
        Limits,
        LotteryPointResult,
        LotteryResult,
        LwsPointResult,
        LwsResult,
        Metrics,
        ModelResource,
        Plot,
        PluginResource,
        PointDifference,
        PointResult,
        PresetResource,
        Preview,
        Problem,
        QueueState,
        ReadingResource,
        ReinitPointResult,
        ReinitSweepResult,
        Result,
        Run,
        SparseTrainPointResult,
        SparseTrainResult,
        SpectrumPointResult,
        Statistic,
        Storage,
        TrainPointResult,
        TrainResult,
        Weights,
        Worker,
    )

__version__ = "0.1.0"

__all__ = [
    "ActionReport",
    "ActivityMapPointResult",
    "ActivityMapResult",
    "AggregatedMetrics",
    "Artifact",
    "AsyncClient",
    "AuditEntry",
    "BadDownload",
    "Checkpoint",
    "ClaimCheck",
    "Client",
    "ClientError",
    "Comparison",
    "ConnectivityPointResult",
    "ConnectivityResult",
    "CountedPage",
    "Dataset",
    "DatasetPreview",
    "Deletion",
    "Event",
    "Execution",
    "Experiment",
    "ExperimentComparison",
    "ExportFailed",
    "ExtraMissing",
    "FileDeletion",
    "GradientSpectrumResult",
    "InvalidArgument",
    "InvalidConnection",
    "KindResource",
    "Limits",
    "LotteryPointResult",
    "LotteryResult",
    "LwsPointResult",
    "LwsResult",
    "Metrics",
    "ModelResource",
    "Page",
    "Plot",
    "PluginResource",
    "PointDifference",
    "PointResult",
    "PresetResource",
    "Preview",
    "Problem",
    "ProblemError",
    "QueueState",
    "ReadingResource",
    "ReinitPointResult",
    "ReinitSweepResult",
    "Result",
    "Run",
    "ServiceUnreachable",
    "SparseTrainPointResult",
    "SparseTrainResult",
    "SpectrumPointResult",
    "Statistic",
    "Storage",
    "TrainPointResult",
    "TrainResult",
    "UnexpectedResponse",
    "WaitTimeout",
    "Weights",
    "Worker",
    "__version__",
]

_ERRORS = (
    "BadDownload",
    "ClientError",
    "ExportFailed",
    "ExtraMissing",
    "InvalidArgument",
    "InvalidConnection",
    "ProblemError",
    "ServiceUnreachable",
    "UnexpectedResponse",
    "WaitTimeout",
)
_MODULES = {
    "AsyncClient": "richregime.async_client",
    "ClaimCheck": "richregime.checks",
    "Client": "richregime.client",
    **dict.fromkeys(("CountedPage", "Page"), "richregime.resource"),
    **dict.fromkeys(_ERRORS, "richregime.errors"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES.get(name, "richregime.types")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
