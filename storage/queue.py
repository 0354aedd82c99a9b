"""The doorbell: Celery messages that say `look at the table`. A bell may be lost or rung twice; no run is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from storage.settings import Settings

EXECUTE = "richregime.execute"
QUEUES = ("cpu", "gpu")


def broker_address(settings: Settings) -> str:
    """The external broker's address, or the embedded one's socket."""
    return settings.broker_url or f"redis+socket://{socket_path(settings)}"


def socket_path(settings: Settings) -> str:
    """Where the embedded broker listens; short, as a socket's path may have 107 characters."""
    path = str((settings.home / "broker" / "valkey.sock").absolute())
    if len(path) <= 100:
        return path
    from hashlib import sha256

    return f"/tmp/richregime-{sha256(path.encode()).hexdigest()[:16]}/valkey.sock"


def make_celery(settings: Settings) -> Celery:
    """The Celery application, its options as docs/decisions tells them; it imports no task."""
    app = Celery("richregime", broker=broker_address(settings))
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        # A bell is gone when it is heard: kombu never reads on behind one whose acknowledgement a dying broker missed.
        task_queues=[_bell_queue(name) for name in QUEUES],
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=25.0,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        task_default_queue="cpu",
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": 300,
            "socket_timeout": 10,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "unacked_restore_interval": 10,
            "max_retries": 1,
        },
    )
    return app


def _bell_queue(name: str) -> Queue:
    exchange = Exchange(name)  # type: ignore[no-untyped-call]
    return Queue(name, exchange, routing_key=name, no_ack=True)  # type: ignore[no-untyped-call]


class BrokerUnavailable(Exception):
    """The broker does not answer. No run is lost: its bell is rung again."""


class Doorbell:
    """Rings through a Celery application."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def ring(self, runs: Iterable[tuple[str, str]], listening: Mapping[str, int]) -> None:
        """Ring for (run id, queue) on the queues where a worker listens; `any` rings all of these.

        listening: slots by queue. Each slot is rung for once at most: whoever hears a bell works until nothing waits,
        and more would only pile up. Where nobody listens nothing is sent: a worker looks at the table when it begins to
        listen. Raises BrokerUnavailable.
        """
        rung: Counter[str] = Counter()
        bells: list[tuple[str, str]] = []
        for run_id, queue in runs:
            for name in listening if queue == "any" else {queue}.intersection(listening):
                if rung[name] < listening[name]:
                    rung[name] += 1
                    bells.append((run_id, name))
        if not bells:
            return
        try:
            with self._app.producer_or_acquire() as producer:
                for run_id, name in bells:
                    _send(self._app, run_id, name, producer)
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerUnavailable(str(error)) from error


def _send(app: Celery, run_id: str, queue: str, producer: Any) -> None:
    app.send_task(EXECUTE, args=[run_id], queue=queue, producer=producer, retry=False, expires=3600)


def ping(settings: Settings) -> bool:
    """Whether the broker answers."""
    address = settings.broker_url or f"unix://{socket_path(settings)}"
    try:
        with ask_once(address, seconds=1) as connection:
            return bool(connection.ping())
    except (RedisError, OSError):
        return False


def ask_once(address: str, seconds: float) -> Redis:
    """A connection that waits `seconds` at most and tells at once where nobody answers: redis-py itself tries again
    for four seconds."""
    return Redis.from_url(
        address, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0)
    )
