"""The tables. Times are in UTC; JSON columns hold plain values of one type."""

from storage.database.tables.access import ApiKeyRow, AuditRow, IdempotencyRow, LoginRow
from storage.database.tables.delivery import DeliveryRow, WebhookRow
from storage.database.tables.experiments import (
    AnswerRow,
    EventRow,
    ExperimentRow,
    MetricRow,
    PointRow,
    PointSeedRow,
    RunRow,
)
from storage.database.tables.files import ArtifactRow, DatasetRow, TrainingRow, WeightsRow
from storage.database.tables.monitoring import CordonRow, CounterRow, DuePassRow, WorkerRow
from storage.database.tables.nets import DescribedNetRow, PluginListingRow

__all__ = [
    "AnswerRow",
    "ApiKeyRow",
    "ArtifactRow",
    "AuditRow",
    "CordonRow",
    "CounterRow",
    "DatasetRow",
    "DeliveryRow",
    "DescribedNetRow",
    "DuePassRow",
    "EventRow",
    "ExperimentRow",
    "IdempotencyRow",
    "LoginRow",
    "MetricRow",
    "PluginListingRow",
    "PointRow",
    "PointSeedRow",
    "RunRow",
    "TrainingRow",
    "WebhookRow",
    "WeightsRow",
    "WorkerRow",
]
