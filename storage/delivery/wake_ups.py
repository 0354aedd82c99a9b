"""Wake-ups: empty Celery messages that make idle workers look at the table of queued runs.

A wake-up may be lost or doubled without losing a run: the database row is authoritative, a worker
claims runs until none is left, and the reconciler sends overdue wake-ups again.
"""

from __future__ import annotations

import re
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

WAKE_UP_TASK = "richregime.wake_up"
EXPIRES_SECONDS = 3600
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
SHORT_FOLDER = "/tmp"  # noqa: S108 - the broker refuses a socket of another user  # nosec B108


def broker_address(settings: Settings) -> str:
    """The address of the external broker, or the socket of the embedded one."""
    return settings.broker_url or f"redis+socket://{socket_path(settings)}"


def direct_address(settings: Settings) -> str:
    """The same as redis-py writes it: Celery and redis-py name sockets differently."""
    return broker_address(settings).replace("redis+socket://", "unix://", 1)


def socket_path(settings: Settings) -> str:
    """Where the embedded broker listens: at most 107 bytes, without characters special in a URL."""
    path = str((settings.home / "broker" / "valkey.sock").absolute())
    if len(path) <= 100 and PLAIN_PATH.fullmatch(path):
        return path
    from hashlib import sha256

    name = sha256(path.encode()).hexdigest()[:16]
    return f"{SHORT_FOLDER}/richregime-{name}/valkey.sock"


def make_celery(settings: Settings, channel: str = "cpu") -> Celery:
    """The Celery application, without tasks; docs/decisions gives the reasons for its options.

    channel: the `Capacity.channel` that a worker of this application reads.
    """
    app = Celery("richregime", broker=broker_address(settings))
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        # A wake-up is deleted when it is received: with acknowledgements, kombu would stop reading
        # behind a message whose acknowledgement was lost in a broker restart.
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
            # No message waits for an acknowledgement, so none has to be restored.
            "ack_emulation": False,
            "max_retries": 1,
        },
    )
    return app


def _queue_of(channel: str) -> Queue:
    """The default exchange sends by name, so that nothing is written to the broker except messages:
    a worker starts although the broker is full."""
    exchange = Exchange("")  # type: ignore[no-untyped-call]
    return Queue(channel, exchange, routing_key=channel, no_ack=True, no_declare=True)  # type: ignore[no-untyped-call]


class BrokerUnavailable(Exception):
    """The broker does not answer, or takes no messages, as when it is full.

    No run is lost: the reconciler sends its wake-up again, and workers also look by themselves.
    """


class WakeUps:
    """Sends wake-ups through a Celery application."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, needs: Iterable[Needs], idle: Mapping[Capacity, int]) -> None:
        """Wake idle workers for queued runs with these needs. Raises BrokerUnavailable.

        idle: slots without a run, by what their workers offer. Each slot is woken at most once: a
        woken worker claims runs until none is left, and further messages would only pile up.
        Without an idle slot nothing is sent: a worker claims runs when it starts and whenever a run
        has ended.
        """
        left = {capacity: slots for capacity, slots in idle.items() if slots > 0}
        channels = []
        for one in needs:
            if not left:
                break
            for capacity in [found for found in left if found.fits(one)]:
                channels.append(capacity.channel)
                left[capacity] -= 1
                if not left[capacity]:
                    del left[capacity]
        self._send(channels)

    def send_to(self, capacity: Capacity, times: int) -> None:
        """Send so many wake-ups to the workers that offer this. Raises BrokerUnavailable."""
        self._send([capacity.channel] * times)

    def _send(self, channels: Sequence[str]) -> None:
        if not channels:
            return
        try:
            with self._app.producer_or_acquire() as producer:
                for channel in channels:
                    self._app.send_task(
                        WAKE_UP_TASK,
                        producer=producer,
                        queue=_queue_of(channel),
                        retry=False,
                        expires=EXPIRES_SECONDS,
                    )
        except (OperationalError, RedisError, OSError) as error:
            cause = error.__cause__ or error  # kombu wraps what the broker reports
            raise BrokerUnavailable(type(cause).__name__) from error


def ping(settings: Settings) -> bool:
    """Whether the broker answers."""
    try:
        with connect_without_retries(direct_address(settings), seconds=1) as connection:
            return bool(connection.ping())
    except (RedisError, OSError):
        return False


def connect_without_retries(address: str, seconds: float) -> Redis:
    """A connection with this timeout that fails at once where nobody listens.

    By default redis-py retries for four seconds.
    """
    return Redis.from_url(
        address, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0)
    )
