"""Plug-ins that hang, end their process or print: told, and the other plug-ins are unharmed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.data.spec import BUILTIN_DATASETS
from engine.models.plugin_models import PluginModels
from engine.models.spec import PluginSpec
from runtime.settings import Settings
from storage.database.engine import Database
from storage.nets.described import ask_for_nets, find_net, key_of
from storage.nets.plugins import read_listings
from tests.waiting import wait_until
from workers import describer
from workers.describer import Describer

DIGITS = BUILTIN_DATASETS["digits"]
NET = """from math import prod
from torch import nn
def {0}(shape, num_classes, *, width: int = 8):
    {1}
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), width), nn.Linear(width, num_classes))
MODELS = {{"{0}": {0}}}
"""


@pytest.fixture
def db(tmp_path: Path, sqlite_template: Path) -> Iterator[Database]:
    """At the place where the describer's process, which gets the home, looks for it."""
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    opened = Database(f"sqlite:///{tmp_path / 'richregime.sqlite3'}")
    yield opened
    opened.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "plugins"
    made.mkdir()
    return made


@pytest.fixture
def found(tmp_path: Path, folder: Path) -> Iterator[Describer]:
    made = Describer(Settings(home=tmp_path, database_url=None, broker_url=None))
    yield made
    made.stop()


def listing(db: Database) -> PluginModels:
    with db.read() as session:
        return read_listings(session)


def describe(describer: Describer, db: Database, name: str) -> tuple[int | None, str | None]:
    """(How many layers were found, why the net cannot be used)."""
    key = ask(db, name)

    def answer() -> tuple[int | None, str | None] | None:
        describer.check(db)
        found = answer_of(db, key)
        return None if found == (None, None) else found

    answered: tuple[int | None, str | None] = wait_until(answer, 60)
    return answered


def ask(db: Database, name: str) -> str:
    """The key of the plug-in's net, which is asked for."""
    model = PluginSpec(name=name, source=listing(db).models[name].source)
    with db.write() as session:
        ask_for_nets(session, [(model, DIGITS)])
    return key_of(model, DIGITS)


def answer_of(db: Database, key: str) -> tuple[int | None, str | None]:
    """As of `describe`; (None, None) before there is one."""
    with db.read() as session:
        net = find_net(session, key)
    assert net is not None
    return None if net.layers is None else len(net.layers), net.error


def test_a_plug_in_that_ends_its_process_is_told_and_others_are_used(
    found: Describer, db: Database, folder: Path
) -> None:
    (folder / "a.py").write_text(NET.format("first", ""))
    (folder / "b.py").write_text("import os\nos._exit(7)\n")
    (folder / "c.py").write_text(NET.format("second", ""))
    (folder / "e.py").write_text(
        "import os, sys\nsys.__stdout__.write('x' * 10**7)\nos.write(1, b'y' * 10**7)\n"
        + NET.format("third", "")
    )
    (folder / "f.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(500,)).start()\n"
        + NET.format("fourth", "")
    )
    found.read_plugins(db)
    read = listing(db)
    assert sorted(read.models) == ["first", "fourth", "second", "third"]
    assert {Path(one.origin).name: one.message for one in read.problems} == {
        "b.py": "reading it: its process ended with status 7"
    }
    assert describe(found, db, "second") == (2, None)
    assert describe(found, db, "third") == (2, None)
    (folder / "b.py").write_text(NET.format("mended", ""))
    found.read_plugins(db)
    assert sorted(listing(db).models) == ["first", "fourth", "mended", "second", "third"]
    assert listing(db).problems == ()


def test_a_plug_in_that_hangs_is_told_and_others_are_used_meanwhile(
    found: Describer, db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describer, "SLOW_SECONDS", 3.0)
    (folder / "c.py").write_text(NET.format("second", ""))
    (folder / "d.py").write_text("while True: pass\n")
    found.read_plugins(db)
    assert list(listing(db).models) == ["second"]
    (told,) = listing(db).problems
    assert told.message == "reading it: it has taken longer than 3 s so far"
    (reader,) = found._readers
    assert reader.line.endswith("d.py")
    monkeypatch.setattr(describer, "READ_SECONDS", 1.0)
    found.check(db)
    monkeypatch.setattr(describer, "READ_SECONDS", 60.0)

    def is_ended() -> bool:
        found.check(db)
        return any("was ended" in one.message for one in listing(db).problems)

    wait_until(is_ended, 90)
    assert list(listing(db).models) == ["second"]
    (told,) = listing(db).problems
    assert Path(told.origin).name == "d.py"
    assert told.message == "reading it: it took longer than 1 s and was ended"
    assert reader.popen.poll() is not None


def test_nets_that_end_or_hang_their_process_are_told_and_others_described(
    found: Describer, db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describer, "SLOW_SECONDS", 3.0)
    for name, body in [
        ("ends", "__import__('os')._exit(9)"),
        ("hangs", "while True: pass"),
        ("leaves", "raise SystemExit(2)"),
        ("prints", "__import__('os').write(1, b'0' * 10**6 + b'\\n')"),
    ]:
        (folder / f"{name}.py").write_text(NET.format(name, body))
    found.read_plugins(db)
    assert describe(found, db, "ends") == (None, "describing it: its process ended with status 9")
    hanging = ask(db, "hangs")

    def is_hanging() -> bool:
        found.check(db)
        return any(one.line == hanging for one in found._describing)

    wait_until(is_hanging, 60)
    assert describe(found, db, "prints") == (2, None)
    assert answer_of(db, hanging) == (None, None)
    monkeypatch.setattr(describer, "DESCRIBE_SECONDS", 1.0)
    found.check(db)
    monkeypatch.setattr(describer, "DESCRIBE_SECONDS", 120.0)
    assert describe(found, db, "hangs") == (
        None,
        "describing it: it took longer than 1 s and was ended",
    )
    layers, error = describe(found, db, "leaves")
    assert layers is None
    assert str(error).startswith("the net cannot be made: SystemExit: 2 (")
    assert describe(found, db, "prints") == (2, None)


def test_a_worker_without_the_code_leaves_a_net_to_one_that_has_it(
    found: Describer, db: Database, folder: Path, tmp_path: Path
) -> None:
    (folder / "net.py").write_text(NET.format("net", ""))
    found.read_plugins(db)
    read = listing(db)
    other = Describer(
        Settings(home=tmp_path, database_url=None, broker_url=None, plugins_dir=tmp_path / "none")
    )
    other._known = ()  # as on another host: this host's listing is kept
    model = PluginSpec(name="net", source=read.models["net"].source)
    with db.write() as session:
        ask_for_nets(session, [(model, DIGITS)])
    other.check(db)
    assert other._describing == []
    assert describe(found, db, "net") == (2, None)


def test_without_plug_ins_no_process_is_started(found: Describer, db: Database) -> None:
    found.check(db)
    assert (found._readers, found._describing) == ([], [])
    assert listing(db) == PluginModels()


def test_stopping_ends_the_process(found: Describer, db: Database, folder: Path) -> None:
    (folder / "net.py").write_text("while True: pass\n")
    found.check(db)
    (reader,) = found._readers
    assert reader.popen.poll() is None
    found.stop()
    assert reader.popen.poll() is not None


def test_a_process_that_describes_nets_waits_for_the_next_one(
    found: Describer, db: Database, folder: Path
) -> None:
    """It has imported torch, which takes longer than to describe a net."""
    (folder / "net.py").write_text(NET.format("net", ""))
    found.read_plugins(db)
    assert found._describing == []
    found.check(db)
    (process,) = found._describing
    assert describe(found, db, "net") == (2, None)
    assert found._describing == [process]
    (folder / "other.py").write_text(NET.format("other", ""))
    wait_until(lambda: process.popen.poll() == 0, 10)
    found.read_plugins(db)
    assert describe(found, db, "other") == (2, None)
    assert process not in found._describing
