"""The state of an event stream across broken connections; it sends nothing itself."""

from __future__ import annotations

import time

import httpx
from httpx_sse import ServerSentEvent
from pydantic import ValidationError

from richregime import calls
from richregime.errors import ClientError, ProblemError, UnexpectedResponse, WaitTimeout
from richregime.formatting import format_duration
from richregime.types import Event

END_MESSAGE = "end"
"""The name of the last message of a stream."""
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 10.0
SILENCE_SECONDS = 40.0
"""A stream that is silent for longer counts as broken; the service sends a comment every 15 s."""
DEADLINE_CHECK_SECONDS = 10.0
"""With a deadline, reading times out this often; comments do not wake the reader."""
STABLE_SECONDS = 5.0
"""A connection that lasted longer than this resets the count of failures."""
MAX_FAILURES = 20
"""Allowed failures in a row: about two and a half minutes."""


class EventStream:
    """The position in the stream of one experiment, its deadline and its failures.

    `timeout` is in seconds from now; None never times out.
    """

    def __init__(self, experiment_id: str, after: int = 0, timeout: float | None = None) -> None:
        self.experiment_id = experiment_id
        self.last_sequence = after
        self.has_ended = False
        self._failures = 0
        self._connected_at = time.monotonic()
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def next_call(self) -> calls.Call[None]:
        """The request that continues the stream. Raises WaitTimeout."""
        self.check_deadline()
        self._connected_at = time.monotonic()
        return calls.stream_events(self.experiment_id, self.last_sequence)

    def read(self, message: ServerSentEvent) -> Event | None:
        """The event of a message.

        None for the end of the stream, an event that was read before, and a message without data
        (after a comment the parser returns the previous id again). Raises WaitTimeout.
        """
        self.check_deadline()
        if not message.data:
            return None
        if message.event == END_MESSAGE:
            self.has_ended = True
            return None
        try:
            event = Event.model_validate_json(message.data)
        except ValidationError as error:
            raise UnexpectedResponse(
                f"an event of {self.experiment_id} cannot be read: {error}"
            ) from error
        if event.sequence <= self.last_sequence:
            return None
        self.last_sequence = event.sequence
        self._failures = 0
        return event

    def seconds_until_reconnect(self, error: Exception) -> float:
        """The pause before the next connection. Raises `error` after too many failures."""
        if time.monotonic() - self._connected_at > STABLE_SECONDS:
            self._failures = 0
        self._failures += 1
        if self._failures > MAX_FAILURES:
            raise error
        pause = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (self._failures - 1))
        left = self.seconds_left()
        return pause if left is None else max(0.0, min(pause, left))

    def raise_or_reconnect(self, error: ClientError) -> None:
        """Raise an error response; as a transport error, which reconnects, if it is temporary."""
        if isinstance(error, ProblemError) and error.problem.status in calls.RETRIED_STATUSES:
            raise httpx.RemoteProtocolError(str(error)) from error
        raise error

    def read_timeout(self) -> httpx.Timeout:
        """The timeout of a connection of the stream."""
        left = self.seconds_left()
        read = SILENCE_SECONDS if left is None else max(0.1, min(DEADLINE_CHECK_SECONDS, left))
        return httpx.Timeout(10.0, read=read)

    def seconds_left(self) -> float | None:
        return None if self._deadline is None else self._deadline - time.monotonic()

    def check_deadline(self) -> None:
        left = self.seconds_left()
        if self._timeout is not None and left is not None and left <= 0:
            waited = format_duration(self._timeout)
            raise WaitTimeout(f"{self.experiment_id} did not end within {waited}; it continues")
