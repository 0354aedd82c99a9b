"""What Prometheus is told: what the database counts, asked every few seconds at most, and this process's own requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

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

LOOK_SECONDS = 5.0
"""How old the counts may be"""
WEIGH_SECONDS = 300.0
"""How old the sum of the stored files may be, for which every file's row is read"""
REQUEST_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
"""The route of what no route answers, a refusal at the door included: a label must not grow with what strangers ask"""

T = TypeVar("T")


class Remembered(Generic[T]):
    """A value that is made anew when it is older than so many seconds. One makes it; the others wait for it."""

    def __init__(self, make: Callable[[], T], seconds: float) -> None:
        self._make, self._seconds = make, seconds
        self._lock = threading.Lock()
        self._made: tuple[float, T] | None = None

    def get(self) -> T:
        with self._lock:
            if self._made is None or time.monotonic() - self._made[0] > self._seconds:
                self._made = (time.monotonic(), self._make())
            return self._made[1]


@dataclass(frozen=True, slots=True)
class Look:
    """What was found when the database and the broker were last asked."""

    snapshot: Snapshot
    counts: Mapping[CounterName, Mapping[str, float]]
    spreads: Mapping[HistogramName, list[HistogramValues]]
    broker_up: bool


class PrometheusCollector(Collector):
    """Everything that `/metrics` tells; one an application."""

    def __init__(self, db: Database, blobs: BlobStore, settings: Settings) -> None:
        self._db, self._blobs, self._settings = db, blobs, settings
        self._look = Remembered(self._ask, LOOK_SECONDS)
        self._bytes = Remembered(self._weigh, WEIGH_SECONDS)
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "richregime_request_seconds",
            "Until an answer begins, of this process",
            ("method", "route", "status"),
            buckets=REQUEST_BOUNDS,
            registry=self._registry,
        )
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def note_request(self, scope: Scope, status: int, seconds: float) -> None:
        """An answer has begun."""
        method = scope["method"] if scope["method"] in METHODS else OTHER
        self._requests.labels(method, route_of(scope), str(status)).observe(seconds)

    def text(self) -> bytes:
        """In Prometheus' text format. Raises DatabaseUnavailable."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing yet, so that the database is not asked before somebody else asks."""
        return []

    def collect(self) -> Iterator[Metric]:
        look = self._look.get()
        snapshot = look.snapshot
        yield _gauge("build_info", "Of the service, always 1", "version", {SERVICE_VERSION: 1})
        yield _gauge("runs", "Runs that there are", "status", snapshot.runs)
        yield _gauge(
            "queue_depth", "Runs that wait, by the device they ask for", "device", snapshot.queued
        )
        yield _gauge(
            "workers_listening", "Worker processes that listen", "device", snapshot.workers
        )
        yield _gauge("slots_listening", "Runs that these compute at once", "device", snapshot.slots)
        yield _gauge("stored_bytes", "Of the stored files", "role", self._bytes.get())
        yield _plain(
            "oldest_queued_seconds",
            "How long a run has waited at most",
            snapshot.oldest_queued_seconds,
        )
        yield _plain(
            "webhook_notices_pending",
            "Deliveries to be sent, or sent again",
            snapshot.deliveries_pending,
        )
        yield _plain("broker_up", "Whether the broker answers", look.broker_up)
        free = self._blobs.free_bytes()
        if free is not None:
            yield _plain("free_bytes", "What the disk of the stored files still takes", free)
        leases, attempts = (
            look.counts[CounterName.LEASES_LOST],
            look.counts[CounterName.WEBHOOK_ATTEMPTS],
        )
        yield _counter("leases_lost", "Runs taken back from a worker", "how", leases)
        yield _counter("webhook_attempts", "Deliveries sent to webhooks", "outcome", attempts)
        yield _histogram(
            "claim_seconds", "From submission to first claim", look.spreads[HistogramName.CLAIM]
        )
        yield _histogram(
            "step_seconds", "Median step of a finished run", look.spreads[HistogramName.STEP]
        )

    def _ask(self) -> Look:
        with self._db.read() as session:
            snapshot = take_snapshot(session)
            counts = {what: read_counter(session, what) for what in CounterName}
            spreads = {what: read_histogram(session, what) for what in HistogramName}
        return Look(snapshot, counts, spreads, ping(self._settings))

    def _weigh(self) -> dict[str, int]:
        with self._db.read() as session:
            return {one.role: one.bytes for one in count_bytes_by_role(session)}


def route_of(scope: Scope) -> str:
    """The template of the route that answers, such as `/runs/{run_id}`."""
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


def _histogram(name: str, text: str, found: list[HistogramValues]) -> Metric:
    family = HistogramMetricFamily(f"richregime_{name}", text, labels=["device"])
    for one in found:
        family.add_metric([one.label], buckets=list(one.buckets), sum_value=one.total)
    return family
