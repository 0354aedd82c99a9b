"""Starts processes that read plug-ins and describe nets, and ends those that take too long.

A plug-in's code may hang, print, or end its process. It never runs in a worker's parent, and in a
worker's child only as part of a run. Where one process is slow, another goes on with the rest.
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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from engine.durations import format_seconds
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
"""Longest time for reading one plug-in"""
DESCRIBE_SECONDS = 120.0
"""Longest time for describing one net"""
SLOW_SECONDS = 10.0
"""After this time at one plug-in or net, another process goes on with the others"""
MAX_PROCESSES = 4
"""That read, and that describe, at once"""

log = logging.getLogger("richregime.worker")


@dataclass(slots=True)
class _Process:
    """A process of `workers.describe_nets`."""

    popen: subprocess.Popen[bytes]
    output: IO[str]
    files: tuple[PluginFile, ...]
    """The plug-ins when it was started"""
    left_out: Mapping[str, str]
    """Those that it does not read, with the reason"""
    line_at: float
    line: str = ""
    """The last that it announced: a net's key, or a plug-in's file; empty while it has no work"""

    def look(self) -> int | None:
        """Read what it has announced; its exit status, or None while it runs."""
        status = self.popen.poll()
        self.output.seek(0)
        lines = self.output.read().splitlines()
        line = lines[-1] if lines else ""
        if line != self.line:
            self.line, self.line_at = line, time.monotonic()
        return status

    def is_longer_at_work_than(self, seconds: float) -> bool:
        return self.line != "" and time.monotonic() - self.line_at > seconds

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        self.output.close()


class Describer:
    """`check` starts what is wanted, watches it and returns at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._readers: list[_Process] = []
        self._describing: list[_Process] = []
        self._files: tuple[PluginFile, ...] = ()
        """The plug-ins that were read last, or are being read"""
        self._unread: dict[str, str] = {}
        """Those of them that are not read again, with the reason: they ended the process"""
        self._known: tuple[PluginFile, ...] | None = None
        """The plug-ins whose listing is stored"""
        self._sources: frozenset[str] = frozenset()
        """The identities of their code"""
        self._has_read = False
        """Whether plug-ins were read just now: a process that describes their nets imports torch
        while the user writes a submission"""

    def read_plugins(self, db: Database) -> None:
        """Read the plug-ins now and wait until all but slow ones are read."""
        while self._read_changed(db):
            time.sleep(0.1)
            self._watch(db)

    def check(self, db: Database) -> None:
        """Start reading changed plug-ins or describing wanted nets, and end what takes too long."""
        self._watch(db)
        self._read_changed(db)
        if not _may_start(self._describing):
            return
        with db.read() as session:
            is_wanted = has_wanted_nets(session, self._sources)
        if is_wanted or self._has_read:
            self._has_read = False
            self._describing.append(self._start())

    def stop(self) -> None:
        """End the processes."""
        for process in (*self._readers, *self._describing):
            process.end()
        self._readers, self._describing = [], []

    def _read_changed(self, db: Database) -> bool:
        """Whether there is something to read; without plug-ins no process is started."""
        files = list_plugin_files(self._settings.resolved_plugins_dir)
        if files != self._files:
            self._files, self._unread = files, {}
            for reader in self._readers:
                reader.end()
            self._readers = []
        if files == self._known:
            return False
        if not files and not list_plugin_packages():
            self._store_listing(db, PluginModels())
            self._note_read(files)
            return False
        if _may_start(self._readers):
            slow = {
                reader.line: "reading it: it has taken longer than "
                f"{format_seconds(SLOW_SECONDS)} so far"
                for reader in self._readers
            }
            self._readers.append(self._start({**self._unread, **slow}))
        return True

    def _note_read(self, files: tuple[PluginFile, ...]) -> None:
        self._known, self._sources = files, list_sources(files)

    def _start(self, left_out: Mapping[str, str] | None = None) -> _Process:
        """left_out: the plug-ins not to read; None describes nets without reading plug-ins."""
        output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        arguments = ["--parent", str(os.getpid())]
        if left_out is not None:
            arguments += ["--plugins", "--unread", json.dumps(left_out)]
        popen = subprocess.Popen(  # noqa: S603 - our own module  # nosec B603
            [sys.executable, "-P", "-m", "workers.describe_nets", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            env={**os.environ, "RICHREGIME_HOME": str(self._settings.home), "OMP_NUM_THREADS": "1"},
        )
        return _Process(popen, output, self._files, left_out or {}, time.monotonic())

    def _watch(self, db: Database) -> None:
        for reader in list(self._readers):
            if reader in self._readers:
                self._watch_reader(db, reader)
        for process in list(self._describing):
            self._watch_describing(db, process)

    def _watch_reader(self, db: Database, reader: _Process) -> None:
        status = reader.look()
        if status == 0:
            self._finish_reading(reader)
        elif reason := _why_it_failed(reader, status, READ_SECONDS):
            self._readers.remove(reader)
            reader.end()
            log.warning("reading %s: %s", reader.line or "plug-ins", reason)
            if reader.line:
                self._unread[reader.line] = f"reading it: {reason}"
                self._known = None  # read the others again
            else:
                problem = PluginProblem("the plug-ins", f"reading them: {reason}")
                self._store_listing(db, PluginModels({}, (problem,)))
                self._note_read(reader.files)

    def _finish_reading(self, reader: _Process) -> None:
        """Its listing is stored. Readers that leave out more are ended, slower ones go on."""
        place = self._readers.index(reader)
        self._note_read(reader.files)
        for ended in self._readers[place:]:
            ended.end()
        self._readers = self._readers[:place]
        self._has_read = True
        slow = {one.line for one in self._readers}
        told = {
            name for name, reason in reader.left_out.items() if reason == self._unread.get(name)
        }
        if reader.left_out.keys() - told - slow:
            self._known = None  # a slow reader has ended meanwhile: how is not in the listing

    def _watch_describing(self, db: Database, process: _Process) -> None:
        status = process.look()
        reason = _why_it_failed(process, status, DESCRIBE_SECONDS)
        if reason:
            log.warning("describing %s: %s", process.line or "nets", reason)
            if process.line:
                with db.write() as session:
                    store_net(session, process.line, error=f"describing it: {reason}")
        if reason or status is not None:
            self._describing.remove(process)
            process.end()

    @staticmethod
    def _store_listing(db: Database, listing: PluginModels) -> None:
        with db.write() as session:
            store_listing(session, socket.gethostname(), listing)


def _may_start(processes: list[_Process]) -> bool:
    """Whether one more may start: all that run are slow."""
    return len(processes) < MAX_PROCESSES and all(
        one.is_longer_at_work_than(SLOW_SECONDS) for one in processes
    )


def _why_it_failed(process: _Process, status: int | None, limit: float) -> str | None:
    if status is None and process.is_longer_at_work_than(limit):
        return f"it took longer than {format_seconds(limit)} and was ended"
    return f"its process ended with status {status}" if status else None
