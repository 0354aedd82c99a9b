"""A child process of the supervisor: its log, its end, and its restart with back-off."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from engine.durations import format_seconds
from runtime.environment import without_leftovers
from workers.process_control import die_with_parent

FIRST_DELAY_SECONDS = 0.5
"""Delay of the first restart; it doubles with each restart"""
MAX_DELAY_SECONDS = 60.0
STABLE_SECONDS = 60.0
"""A process that ran for longer is restarted with the first delay."""

log = logging.getLogger("ops.up")


class ManagedProcess:
    """`python -m module` as a child in its own session; its output goes to `<folder>/<name>.log`.

    echo: prefix of each line of its output that is copied to standard error, `{name}` standing for
    its name; None copies nothing.

    Linux sends SIGTERM to the child when the *thread* that started it ends, for any reason. Start
    it from a thread that lives as long as the child should.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        echo: str | None,
    ) -> None:
        self.name = name
        # -P: a file in the working directory, such as api.py, is never imported.
        self._command = [sys.executable, "-P", "-m", *arguments]
        self._environment = {**without_leftovers(os.environ), **environment}
        self.log_path = folder / f"{name}.log"
        self._echo = echo
        self._last_lines: deque[str] = deque(maxlen=20)
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._started_at = 0.0
        self._restarts = 0
        self._restart_at: float | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(  # noqa: S603 - no shell  # nosec B603
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        self._started_at = time.monotonic()
        self._restart_at = None
        self._reader = threading.Thread(
            target=self._copy_output, args=(self._process,), name=f"log-{self.name}", daemon=True
        )
        self._reader.start()

    def restart_if_ended(self) -> None:
        """Restart it if it has ended, after a delay that grows each time. Does not block."""
        assert self._process is not None
        if self.is_running:
            return
        now = time.monotonic()
        if self._restart_at is None:
            if now - self._started_at > STABLE_SECONDS:
                self._restarts = 0
            delay = min(FIRST_DELAY_SECONDS * 2**self._restarts, MAX_DELAY_SECONDS)
            self._restarts += 1
            self._restart_at = now + delay
            log.warning(
                "%s ended with code %s; it is restarted in %s",
                self.name,
                self._process.returncode,
                format_seconds(delay),
            )
        elif now >= self._restart_at:
            self.start()

    def terminate(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for its end; after `seconds`, kill it with all its children."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(0.0, seconds))
        except subprocess.TimeoutExpired:
            log.warning("%s did not end in time; it is killed", self.name)
            self.kill()
        if self._reader is not None:
            self._reader.join(timeout=2)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def log_tail(self) -> str:
        """The last lines of its output, for an error message."""
        if self._reader is not None:
            self._reader.join(timeout=2)
        return "".join(self._last_lines)

    def _copy_output(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with self.log_path.open("ab") as file, process.stdout as lines:
            for line in lines:
                file.write(line)
                file.flush()
                text = line.decode(errors="replace")
                self._last_lines.append(text)
                if self._echo is not None and text.strip():
                    sys.stderr.write(self._echo.format(name=self.name) + text)
