"""Starts the process that reads plug-ins and describes nets, and ends one that takes too long.

A plug-in's code may hang, print, or end its process. It never runs in a worker's parent, and in a
worker's child only as part of a run.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO

from engine.models.plugin_files import (
    PluginFile,
    list_plugin_files,
    list_plugin_packages,
    list_sources,
)
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
        self._files: tuple[PluginFile, ...] = ()
        """The plug-ins that were read last, or are being read"""
        self._unread: dict[str, str] = {}
        """Those of them that are not read again, with the reason: they ended the process"""
        self._known: tuple[PluginFile, ...] | None = None
        """The plug-ins whose listing is stored"""
        self._sources: frozenset[str] = frozenset()
        """The identities of their code"""

    def read_plugins(self, db: Database) -> None:
        """Read the plug-ins now and wait until it is done."""
        while self._start_reading(db):
            while self._process is not None:
                time.sleep(0.1)
                self._watch(db)

    def check(self, db: Database) -> None:
        """Start reading changed plug-ins or describing wanted nets, and end what takes too long."""
        if self._process is not None:
            self._watch(db)
            return
        if self._start_reading(db):
            return
        with db.read() as session:
            is_wanted = has_wanted_nets(session, self._sources)
        if is_wanted:
            self._start(None)

    def _start_reading(self, db: Database) -> bool:
        """Whether there is something to read; without plug-ins no process is started."""
        files = list_plugin_files(self._settings.resolved_plugins_dir)
        if files == self._known:
            return False
        if files != self._files:
            self._files, self._unread = files, {}
        if files or list_plugin_packages():
            self._start(files)
            return True
        self._store_listing(db, PluginModels())
        self._note_read(files)
        return False

    def _note_read(self, files: tuple[PluginFile, ...]) -> None:
        self._known, self._sources = files, list_sources(files)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    def _start(self, plugins: tuple[PluginFile, ...] | None) -> None:
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._reads, self._line, self._line_at = plugins, "", time.monotonic()
        arguments = ["--parent", str(os.getpid())]
        if plugins is not None:
            arguments += ["--plugins", "--unread", json.dumps(self._unread)]
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
        elif self._reads is not None:
            self._note_read(self._reads)
        self._forget()

    def _tell(self, db: Database, reason: str) -> None:
        """Note why what was announced last has no answer; the other plug-ins are read again."""
        log.warning("describing %s: %s", self._line or "nets", reason)
        if self._reads is not None and self._line and self._line not in self._unread:
            self._unread[self._line] = f"reading it: {reason}"
        elif self._reads is not None:
            problem = PluginProblem("the plug-ins", f"reading them: {reason}")
            self._store_listing(db, PluginModels({}, (problem,)))
            self._note_read(self._reads)
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
