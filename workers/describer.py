"""Starts the process that reads plug-ins and describes nets, and ends one that takes too long.

A plug-in's code may hang, print, or end its process. It never runs in a worker's parent, and in a
worker's child only as part of a run.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO

from engine.models.plugin_files import PluginFile, has_plugin_packages, list_plugin_files
from engine.models.plugin_models import PluginModels, PluginProblem
from runtime.settings import Settings
from storage.database.engine import Database
from storage.nets.described import has_wanted_nets, store_net
from storage.nets.plugins import store_listing

READ_SECONDS = 60.0
"""Longest time for reading all plug-ins"""
DESCRIBE_SECONDS = 120.0
"""Longest time for describing one net"""

log = logging.getLogger("richregime.worker")


class Describer:
    """One process at a time; `check` starts what is wanted, watches it and returns at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[str] | None = None
        self._line = ""
        """The last that the process announced: a net's key, or a plug-in's file"""
        self._line_at = 0.0
        self._reads: tuple[PluginFile, ...] | None = None
        """The plug-ins that the process reads; None where it describes nets"""
        self._known: tuple[PluginFile, ...] | None = None
        """The plug-ins whose listing is stored"""

    def read_plugins(self, db: Database) -> None:
        """Read the plug-ins now and wait until it is done."""
        self.check(db)
        while self._process is not None:
            time.sleep(0.1)
            self._watch(db)

    def check(self, db: Database) -> None:
        """Start reading changed plug-ins or describing wanted nets, and end what takes too long.

        Without plug-ins no process is started to read them.
        """
        if self._process is not None:
            self._watch(db)
            return
        files = list_plugin_files(self._settings.resolved_plugins_dir)
        if files != self._known:
            if files or has_plugin_packages():
                self._start(files)
            else:
                self._store_listing(db, PluginModels())
                self._known = files
            return
        with db.read() as session:
            is_wanted = has_wanted_nets(session)
        if is_wanted:
            self._start(None)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    def _start(self, plugins: tuple[PluginFile, ...] | None) -> None:
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._reads, self._line, self._line_at = plugins, "", time.monotonic()
        arguments = ["--parent", str(os.getpid()), *(["--plugins"] if plugins is not None else [])]
        self._process = subprocess.Popen(  # noqa: S603 - our own module  # nosec B603
            [sys.executable, "-P", "-m", "workers.describe_nets", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            env={**os.environ, "RICHREGIME_HOME": str(self._settings.home), "OMP_NUM_THREADS": "1"},
        )

    def _watch(self, db: Database) -> None:
        process, output = self._process, self._output
        assert process is not None
        assert output is not None
        status = process.poll()
        line = _read_last_line(output)
        if line != self._line:
            self._line, self._line_at = line, time.monotonic()
        limit = DESCRIBE_SECONDS if self._reads is None else READ_SECONDS
        if status is None and time.monotonic() - self._line_at < limit:
            return
        if status is None:
            process.kill()
            process.wait()
            self._tell(db, f"it took longer than {limit:.0f} s and was ended")
        elif status != 0:
            self._tell(db, f"its process ended with status {status}")
        if self._reads is not None:
            self._known = self._reads
        self._forget()

    def _tell(self, db: Database, reason: str) -> None:
        """Store why what was announced last has no answer."""
        log.warning("describing %s: %s", self._line or "nets", reason)
        if self._reads is not None:
            problem = PluginProblem(self._line or "the plug-ins", f"reading it: {reason}")
            self._store_listing(db, PluginModels({}, (problem,)))
        elif self._line:
            with db.write() as session:
                store_net(session, self._line, error=f"describing it: {reason}")

    @staticmethod
    def _store_listing(db: Database, listing: PluginModels) -> None:
        with db.write() as session:
            store_listing(session, socket.gethostname(), listing)

    def _forget(self) -> None:
        if self._output is not None:
            self._output.close()
        self._process = self._output = None


def _read_last_line(output: IO[str]) -> str:
    output.seek(0)
    lines = output.read().splitlines()
    return lines[-1] if lines else ""
