"""A process that reads plug-ins and describes nets, apart from the workers that run experiments.

`python -m workers.describe_nets --plugins` reads the plug-ins, stores what they offer, and ends.
Without `--plugins` it describes each net that is wanted; it ends when the plug-ins change, or when
nothing was wanted for a while: importing torch takes longer than describing a net. It announces
what it reads, a line each, on its standard output, so that the process that started it can tell
where it stopped; an empty line when it has no work. Plug-ins cannot write there.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import time
from collections.abc import Callable, Mapping

from pydantic import TypeAdapter

from engine.data.spec import DatasetInfo
from engine.errors import ModelRejected
from engine.models.host import set_net_host
from engine.models.layer_layout import LayerLayout
from engine.models.local_host import LocalHost
from engine.models.plugin_files import list_plugin_files, list_sources
from engine.models.plugin_loading import load_plugins
from engine.models.spec import DescribedSpec, ModelSpec
from runtime.environment import remove_leftovers
from runtime.logs import set_up_logging
from runtime.settings import Settings, settings_of_command
from storage.database.engine import Database
from storage.nets.described import WantedNet, claim_net, has_wanted_nets, store_net
from storage.nets.plugins import store_listing
from workers.process_control import die_with_parent

IDLE_SECONDS = 120.0
"""How long it waits for nets"""
POLL_SECONDS = 0.3

_MODEL: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m workers.describe_nets", description=__doc__)
    parser.add_argument("--plugins", action="store_true", help="read the plug-ins, nothing else")
    parser.add_argument("--unread", default="{}", help="plug-ins not to read, with reasons: JSON")
    parser.add_argument("--parent", type=int, help="end when this process ends")
    chosen = parser.parse_args(arguments)
    if chosen.parent is not None:
        die_with_parent(parent=chosen.parent)()
    remove_leftovers(os.environ)
    settings = settings_of_command(None, needs_home=False)
    set_up_logging(settings.log_format, "describer")
    db = Database(settings.resolved_database_url)
    announce = _take_output()
    if chosen.plugins:
        _read_plugins(settings, db, json.loads(chosen.unread), announce)
    else:
        _describe_wanted(settings, db, announce)
    db.dispose()
    return 0


def _take_output() -> Callable[[str], None]:
    """Writes lines to the standard output, to which nothing else can write from now on."""
    own = os.dup(1)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 1)
    return lambda text: _write_line(own, text)


def _write_line(descriptor: int, text: str) -> None:
    os.write(descriptor, f"{text}\n".encode())


def _read_plugins(
    settings: Settings, db: Database, unread: Mapping[str, str], announce: Callable[[str], None]
) -> None:
    folder = settings.resolved_plugins_dir
    listing = load_plugins(folder, announce, unread=unread).describe()
    with db.write() as session:
        store_listing(session, socket.gethostname(), listing)


def _describe_wanted(settings: Settings, db: Database, announce: Callable[[str], None]) -> None:
    folder = settings.resolved_plugins_dir
    files = list_plugin_files(folder)
    sources = list_sources(files)
    host = LocalHost(folder)
    set_net_host(host)
    idle_at = time.monotonic()
    while list_plugin_files(folder) == files and time.monotonic() - idle_at < IDLE_SECONDS:
        if _describe_next(host, db, sources, announce):
            idle_at = time.monotonic()
        else:
            time.sleep(POLL_SECONDS)


def _describe_next(
    host: LocalHost, db: Database, sources: frozenset[str], announce: Callable[[str], None]
) -> bool:
    """Whether there was a net to describe."""
    with db.read() as session:
        if not has_wanted_nets(session, sources):
            return False
    with db.write() as session:
        wanted = claim_net(session, sources)
    if wanted is None:
        return False
    announce(wanted.key)
    found, error = _describe(host, wanted)
    with db.write() as session:
        store_net(session, wanted.key, found, error)
    announce("")
    return True


def _describe(
    host: LocalHost, wanted: WantedNet
) -> tuple[tuple[LayerLayout, ...] | None, str | None]:
    """(Its layers, why it cannot be used): one of the two."""
    info = DatasetInfo("data", "data", wanted.shape, wanted.num_classes, 2, 2, "registered")
    model = _MODEL.validate_python(wanted.model)
    assert isinstance(model, DescribedSpec), "others are described by arithmetic"
    try:
        return host.describe(model, info), None
    except ModelRejected as rejected:
        return None, str(rejected)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - of a plug-in's net, whatever its code raises
        return None, f"describing it failed: {type(error).__name__}: {str(error)[:300]}"


if __name__ == "__main__":
    os._exit(main())  # a thread that a plug-in has started cannot keep the process
