"""One process of the service's tree: started in a session of its own, its output kept, restarted with back-off."""

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

from workers.process_control import die_with_parent

FIRST_RESTART_SECONDS = 0.5
LONGEST_RESTART_SECONDS = 60.0
STEADY_SECONDS = 60.0
"""A part that has run for so long has started well: when it ends, the back-off begins anew."""

log = logging.getLogger("ops.up")


class ManagedProcess:
    """`python -m module` under our eyes. When this process ends, however it ends, the part is asked to end too.

    echo: what stands before each of its lines on our standard error, `{name}` being its own; None: they are only kept.

    Linux sends that request when the *thread* that started the part ends: start it from one that stays.
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
        self._command = [sys.executable, "-m", *arguments]
        self._environment = {**os.environ, **environment}
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
        self._process = subprocess.Popen(  # noqa: S603 - this Python and a module of ours, no shell  # nosec B603
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

    def mind(self) -> None:
        """Start it again where it has ended, later and later the more often it does so at once."""
        assert self._process is not None
        if self.is_running:
            return
        now = time.monotonic()
        if self._restart_at is None:
            if now - self._started_at > STEADY_SECONDS:
                self._restarts = 0
            delay = min(FIRST_RESTART_SECONDS * 2**self._restarts, LONGEST_RESTART_SECONDS)
            self._restarts += 1
            self._restart_at = now + delay
            log.warning(
                "%s ended with code %s and is started again in %.1f s",
                self.name,
                self._process.returncode,
                delay,
            )
        elif now >= self._restart_at:
            self.start()

    def ask_to_end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Return once it has ended; whoever has not ended in time is killed with all its children."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(0.0, seconds))
        except subprocess.TimeoutExpired:
            log.warning("%s did not end in time and is killed", self.name)
            self.kill()
        if self._reader is not None:
            self._reader.join(timeout=2)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def last_words(self) -> str:
        """The end of its output, for an error's message."""
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
