"""Heartbeats of the children of one parent in one transaction, which one of them sends for all."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Any

from storage.runs.heartbeats import Beat, Heartbeat

GATHER_SECONDS = 0.02
"""How long the sender waits for the others, whose heartbeats are due at the same time"""
POLL_SECONDS = 0.005
"""Between two looks for an answer"""
RECORD_BYTES = 1_024
_HEADER = struct.Struct("=qII")
"""Number of the beat, length of the JSON that follows, checksum of both"""

Send = Callable[[Sequence[Beat]], dict[str, Heartbeat]]


class SharedHeartbeats:
    """A table with the last beat and the last answer of each slot, in memory shared across forks.

    Create it in the parent before it forks. A child writes only the beat of its own slot; the
    sender, which holds the lock, writes the answers. The system frees the lock of a process that
    ends, and nobody waits for it: a child without an answer sends its heartbeat by itself.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._memory = mmap.mmap(-1, 2 * slots * RECORD_BYTES)
        self._lock_file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as this object

    def renew(self, slot: int, beat: Beat, send: Send, patience_seconds: float) -> Heartbeat | None:
        """The answer to this beat, sent together with those of other slots.

        None where there is no answer within `patience_seconds`, or no answer but that the run may
        be lost: then send it alone. One thread of a process calls this, for its own slot. Raises
        what `send` raises, where this process is the sender.
        """
        number = self._number_of(slot) + 1
        self._write(2 * slot, number, list(astuple(beat)))
        until = time.monotonic() + patience_seconds
        while time.monotonic() < until:
            found = self._read(2 * slot + 1)
            if found is not None and found.number == number:
                return None if found.content is None else Heartbeat(*found.content)
            with self._try_lock() as is_sender:
                if is_sender:
                    self._send_all(send)
                    continue
            time.sleep(POLL_SECONDS)
        self._write(2 * slot, number, None)  # withdrawn
        return None

    def _send_all(self, send: Send) -> None:
        time.sleep(GATHER_SECONDS)
        posted = {slot: record for slot in range(self._slots) if (record := self._posted(slot))}
        if not posted:
            return
        answers: dict[str, Heartbeat] = {}
        beats = {slot: _read_beat(record.content) for slot, record in posted.items()}
        try:
            answers = send(list(beats.values()))
        finally:
            for slot, record in posted.items():
                answer = answers.get(beats[slot].run_id)
                self._write(
                    2 * slot + 1, record.number, None if answer is None else list(astuple(answer))
                )

    def _posted(self, slot: int) -> _Record | None:
        """The beat of the slot, unless it has its answer or was withdrawn."""
        beat, answer = self._read(2 * slot), self._read(2 * slot + 1)
        if beat is None or beat.content is None:
            return None
        return None if answer is not None and answer.number == beat.number else beat

    def _number_of(self, slot: int) -> int:
        """Of the last beat of the slot, also that of an earlier child."""
        return max((one.number for i in (0, 1) if (one := self._read(2 * slot + i))), default=0)

    def _write(self, index: int, number: int, content: Any) -> None:
        text = json.dumps(content).encode()
        assert len(text) <= RECORD_BYTES - _HEADER.size, f"{len(text)} bytes"
        record = _HEADER.pack(number, len(text), _checksum(number, text)) + text
        self._memory[index * RECORD_BYTES : index * RECORD_BYTES + len(record)] = record

    def _read(self, index: int) -> _Record | None:
        """None where nothing was written, or just now only a part."""
        begin = index * RECORD_BYTES
        number, length, checksum = _HEADER.unpack_from(self._memory, begin)
        begin += _HEADER.size
        text = self._memory[begin : begin + min(length, RECORD_BYTES - _HEADER.size)]
        if not text or checksum != _checksum(number, text):
            return None
        return _Record(number, json.loads(text))

    @contextmanager
    def _try_lock(self) -> Iterator[bool]:
        try:
            fcntl.lockf(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._lock_file, fcntl.LOCK_UN)


@dataclass(frozen=True, slots=True)
class SlotHeartbeats:
    """The shared heartbeats as the child of one slot uses them."""

    shared: SharedHeartbeats
    slot: int

    def renew(self, beat: Beat, send: Send, patience_seconds: float) -> Heartbeat | None:
        """As `SharedHeartbeats.renew`."""
        return self.shared.renew(self.slot, beat, send, patience_seconds)


@dataclass(frozen=True, slots=True)
class _Record:
    number: int
    content: Any


def _checksum(number: int, text: bytes) -> int:
    return zlib.crc32(text, number & 0xFFFFFFFF)


def _read_beat(content: list[Any]) -> Beat:
    run_id, fence, progress, *rest = content
    return Beat(run_id, fence, tuple(progress) if progress else None, *rest)


def seconds_to_tick(interval_seconds: float, parent: int | None = None) -> float:
    """Seconds until the heartbeats of all children of this parent are due.

    They are due at the same moments of the machine's monotonic clock, which differ by parent.
    """
    parent = os.getppid() if parent is None else parent
    phase = parent * 0.618034 % 1.0 * interval_seconds
    return interval_seconds - (time.monotonic() - phase) % interval_seconds
