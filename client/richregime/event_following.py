"""Following an experiment's event stream across broken connections, without sending anything itself."""

from __future__ import annotations

import time

import httpx
from httpx_sse import ServerSentEvent
from pydantic import ValidationError

from richregime import calls
from richregime.errors import ClientError, ProblemError, UnexpectedAnswer, WaitTimeout
from schemas.events import Event, EventName

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
SILENCE_SECONDS = 40.0
"""A stream silent for longer is taken for broken; the service sends a comment every 15 seconds."""
LOOK_SECONDS = 10.0
"""With a deadline the reader looks up this often; comments do not wake it."""
SOUND_SECONDS = 5.0
"""A connection that lived for longer was no failure."""
MAX_FAILURES = 20
"""Failures in a row that are borne: about two and a half minutes."""


class Following:
    """Where the reader of one stream is: what has been seen, when to give up, how long to pause.

    `timeout` is in seconds from now; None waits for as long as it takes.
    """

    def __init__(self, experiment_id: str, after: int = 0, timeout: float | None = None) -> None:
        self.experiment_id = experiment_id
        self.last_sequence = after
        self.ended = False
        self._failures = 0
        self._asked_at = time.monotonic()
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def next_call(self) -> calls.Call[None]:
        """The request that goes on where the stream broke."""
        self.check_time()
        self._asked_at = time.monotonic()
        return calls.stream_events(self.experiment_id, self.last_sequence)

    def take(self, message: ServerSentEvent) -> Event | None:
        """The event of a message; None for the stream's end, for one that was already seen, and for one without data.

        A message without data says nothing: after a comment the parser hands out the id before it once more.
        """
        self.check_time()
        if not message.data:
            return None
        if message.event == EventName.END:
            self.ended = True
            return None
        try:
            event = Event.model_validate_json(message.data)
        except ValidationError as error:
            raise UnexpectedAnswer(
                f"an event of {self.experiment_id} cannot be read: {error}"
            ) from error
        if event.sequence <= self.last_sequence:
            return None
        self.last_sequence = event.sequence
        self._failures = 0
        return event

    def pause_after_break(self, error: Exception) -> float:
        """Seconds to wait before the next connection; raises `error` when there were too many failures."""
        if time.monotonic() - self._asked_at > SOUND_SECONDS:
            self._failures = 0
        self._failures += 1
        if self._failures > MAX_FAILURES:
            raise error
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (self._failures - 1))
        left = self.seconds_left()
        return pause if left is None else max(0.0, min(pause, left))

    def refuse(self, error: ClientError) -> None:
        """Raise an error answer for good, unless it is one that passes: then the stream is asked for again."""
        if isinstance(error, ProblemError) and error.problem.status in calls.RETRIED_STATUSES:
            raise httpx.RemoteProtocolError(str(error)) from error
        raise error

    def read_timeout(self) -> httpx.Timeout:
        """How long a silent stream is listened to."""
        left = self.seconds_left()
        read = SILENCE_SECONDS if left is None else max(0.1, min(LOOK_SECONDS, left))
        return httpx.Timeout(10.0, read=read)

    def seconds_left(self) -> float | None:
        return None if self._deadline is None else self._deadline - time.monotonic()

    def check_time(self) -> None:
        left = self.seconds_left()
        if left is not None and left <= 0:
            raise WaitTimeout(
                f"{self.experiment_id} was not finished within {self._timeout:g} s; it goes on without us"
            )
