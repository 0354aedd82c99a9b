"""Metrics for Prometheus: counts from the database, cached, and this process's own requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from api.background.cached_value import CachedValue
from runtime.settings import Settings
from runtime.version import SERVICE_VERSION
from schemas.status import RunStatus
from storage.database.engine import Database
from storage.delivery.wake_ups import ping
from storage.files.blobs import BlobStore
from storage.files.usage import count_bytes_by_role
from storage.monitoring.counters import (
    CounterName,
    HistogramName,
    HistogramValues,
    read_counter,
    read_histogram,
)
from storage.monitoring.snapshot import Snapshot, take_snapshot

COUNTS_TTL_SECONDS = 5.0
STORED_BYTES_TTL_SECONDS = 300.0
"""Longer, because the sum reads the row of every file."""
REQUEST_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
"""The label of unknown routes and methods: clients must not be able to add label values."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the database and the broker reported at one time."""

    snapshot: Snapshot
    counters: Mapping[CounterName, Mapping[str, float]]
    histograms: Mapping[HistogramName, list[HistogramValues]]
    broker_up: bool


OF_FILES = frozenset({"richregime_stored_bytes", "richregime_free_bytes"})
"""These grow only with files that nobody has stored yet, and so tell what others have stored."""


class PrometheusCollector(Collector):
    """The metrics of `/metrics`; one collector per application."""

    def __init__(self, db: Database, blobs: BlobStore, settings: Settings) -> None:
        self._db, self._blobs, self._settings = db, blobs, settings
        self._counts = CachedValue(self._read_counts, COUNTS_TTL_SECONDS)
        self._stored_bytes = CachedValue(self._sum_stored_bytes, STORED_BYTES_TTL_SECONDS)
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "richregime_request_seconds",
            "Seconds from a request to the start of its response, in this process",
            ("method", "route", "status"),
            buckets=REQUEST_BOUNDS,
            registry=self._registry,
        )
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def record_request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request whose response has started."""
        method = scope["method"] if scope["method"] in METHODS else OTHER
        self._requests.labels(method, route_of(scope), str(status)).observe(seconds)

    def render(self, *, with_files: bool) -> bytes:
        """The metrics in the text format of Prometheus. Raises DatabaseUnavailable.

        with_files: also those of stored files.
        """
        if with_files:
            return generate_latest(self._registry)
        others = [one for one in self._registry.collect() if one.name not in OF_FILES]
        return generate_latest(_Collected(others))

    def describe(self) -> list[Metric]:
        """Nothing: registration calls this, and must not query the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        counts = self._counts.get()
        snapshot = counts.snapshot
        yield _gauge(
            "build_info",
            "Always 1; the label is the version of the service",
            "version",
            {SERVICE_VERSION: 1},
        )
        yield _gauge("runs", "Runs by status", "status", snapshot.runs)
        yield _gauge(
            "queue_depth", "Queued runs by the device that they need", "device", snapshot.queued
        )
        yield _gauge("workers_listening", "Listening worker processes", "device", snapshot.workers)
        yield _gauge(
            "slots_listening",
            "Runs that the listening workers can compute at once",
            "device",
            snapshot.slots,
        )
        yield _gauge("stored_bytes", "Bytes of the stored files", "role", self._stored_bytes.get())
        yield _plain(
            "oldest_queued_seconds",
            "Age of the oldest queued run",
            snapshot.oldest_queued_seconds,
        )
        yield _plain(
            "webhook_deliveries_pending",
            "Webhook deliveries that are not delivered and not given up",
            snapshot.deliveries_pending,
        )
        yield _plain("broker_up", "Whether the broker answers", counts.broker_up)
        free = self._blobs.free_bytes()
        if free is not None:
            yield _plain("free_bytes", "Free bytes on the disk of the stored files", free)
        leases = counts.counters[CounterName.LEASES_LOST]
        attempts = counts.counters[CounterName.WEBHOOK_ATTEMPTS]
        yield _counter("leases_lost", "Leases that workers lost", "how", leases)
        yield _counter(
            "webhook_attempts", "Attempts to send a webhook delivery", "outcome", attempts
        )
        yield _histogram(
            "claim_seconds",
            "Seconds from submission to the first claim of a run",
            counts.histograms[HistogramName.CLAIM],
        )
        yield _histogram(
            "step_seconds",
            "Median seconds of a training step of a finished run",
            counts.histograms[HistogramName.STEP],
        )

    def _read_counts(self) -> Counts:
        with self._db.read() as session:
            snapshot = take_snapshot(session)
            counters = {name: read_counter(session, name) for name in CounterName}
            histograms = {name: read_histogram(session, name) for name in HistogramName}
        return Counts(snapshot, counters, histograms, ping(self._settings))

    def _sum_stored_bytes(self) -> dict[str, int]:
        with self._db.read() as session:
            return {one.role: one.bytes for one in count_bytes_by_role(session)}


@dataclass(frozen=True, slots=True)
class _Collected(Collector):
    """Metrics that were collected already."""

    metrics: list[Metric]

    def collect(self) -> Iterator[Metric]:
        return iter(self.metrics)


def route_of(scope: Scope) -> str:
    """The path template of the request's route, such as `/runs/{run_id}`."""
    return str(getattr(scope.get("route"), "path", OTHER))


def _gauge(
    name: str, text: str, label: str, values: Mapping[RunStatus, int] | Mapping[str, float]
) -> Metric:
    family = GaugeMetricFamily(f"richregime_{name}", text, labels=[label])
    for value_of, value in values.items():
        family.add_metric([value_of], value)
    return family


def _plain(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"richregime_{name}", text, value=value)


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"richregime_{name}", text, labels=[label])
    for value_of, value in values.items():
        family.add_metric([value_of], value)
    return family


def _histogram(name: str, text: str, values: list[HistogramValues]) -> Metric:
    family = HistogramMetricFamily(f"richregime_{name}", text, labels=["device"])
    for one in values:
        family.add_metric([one.label], buckets=list(one.buckets), sum_value=one.total)
    return family
