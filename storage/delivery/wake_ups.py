"""The wake-up: Celery messages that say `look at the table`. A wake-up may be lost or rung twice; no run is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from runtime.settings import Settings
from storage.runs.placement import Capacity, Needs

EXECUTE = "richregime.execute"
SHORT_FOLDER = "/tmp"  # noqa: S108 - the broker refuses a socket of another user  # nosec B108


def broker_address(settings: Settings) -> str:
    """The external broker's address, or the embedded one's socket."""
    return settings.broker_url or f"redis+socket://{socket_path(settings)}"


def socket_path(settings: Settings) -> str:
    """Where the embedded broker listens; short, as a socket's path may have 107 characters."""
    path = str((settings.home / "broker" / "valkey.sock").absolute())
    if len(path) <= 100:
        return path
    from hashlib import sha256

    name = sha256(path.encode()).hexdigest()[:16]
    return f"{SHORT_FOLDER}/richregime-{name}/valkey.sock"


def make_celery(settings: Settings, channel: str = "cpu") -> Celery:
    """The Celery application, its options as docs/decisions tells them; it imports no task. wake-up: what a worker hears."""
    app = Celery("richregime", broker=broker_address(settings))
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        # A wake-up is gone when it is heard: kombu never reads on behind one whose acknowledgement a dying broker missed.
        task_queues=[_queue_of(channel)],
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=25.0,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        task_default_queue=channel,
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


def _queue_of(name: str) -> Queue:
    exchange = Exchange(name)  # type: ignore[no-untyped-call]
    return Queue(name, exchange, routing_key=name, no_ack=True)  # type: ignore[no-untyped-call]


class BrokerUnavailable(Exception):
    """The broker does not answer. No run is lost: its wake-up is rung again."""


class WakeUps:
    """SendWakeUps through a Celery application."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, runs: Iterable[tuple[str, Needs]], idle: Mapping[Capacity, int]) -> None:
        """Ring for (run id, needs) the wake-ups of all workers that fit.

        idle: slots without a run, by what their workers offer. Each is rung for once at most: whoever hears a wake-up works
        until nothing waits, and more would only pile up. Where none is idle nothing is sent: a worker looks at the table
        when it begins to listen and whenever a run has ended. Raises BrokerUnavailable.
        """
        left = {capacity: slots for capacity, slots in idle.items() if slots > 0}
        wake_ups = []
        for run_id, needs in runs:
            if not left:
                break
            for capacity in [found for found in left if found.fits(needs)]:
                wake_ups.append((run_id, capacity.channel))
                left[capacity] -= 1
                if not left[capacity]:
                    del left[capacity]
        self._send(wake_ups)

    def send_to(self, capacity: Capacity, times: int) -> None:
        """Ring the wake-up of the workers that offer this. Raises BrokerUnavailable."""
        self._send([("", capacity.channel)] * times)

    def _send(self, wake_ups: Sequence[tuple[str, str]]) -> None:
        if not wake_ups:
            return
        try:
            with self._app.producer_or_acquire() as producer:
                for run_id, channel in wake_ups:
                    options = {"queue": _queue_of(channel), "retry": False, "expires": 3600}
                    self._app.send_task(EXECUTE, args=[run_id], producer=producer, **options)
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerUnavailable(str(error)) from error


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
