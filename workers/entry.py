"""The command of a worker: `python -m workers.entry --device cpu --slots 2`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from engine.threads import wait_briefly
from runtime.environment import remove_leftovers
from runtime.home import make_new_files_private
from runtime.logs import set_up_logging
from runtime.settings import settings_of_command
from workers.parent import Worker


def main(arguments: list[str] | None = None) -> int:
    """Run a worker until a signal stops it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="richregime worker", description=__doc__)
    parser.add_argument(
        "--device", dest="device_class", choices=["cpu", "gpu"], default="cpu", help="device class"
    )
    parser.add_argument(
        "--slots", type=int, help="concurrent runs; default: the setting cpu_workers, or 1 on a GPU"
    )
    parser.add_argument("--home", type=Path, help="folder of the service's state")
    parser.add_argument(
        "--seen-file",
        type=Path,
        help="file to touch after each report to the database; for liveness probes",
    )
    chosen = parser.parse_args(arguments)
    remove_leftovers(os.environ)
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # NVML's; CUDA's is by speed
    wait_briefly()
    settings = settings_of_command(chosen.home, needs_home=False)
    make_new_files_private()
    set_up_logging(settings.log_format, f"worker-{chosen.device_class}")
    slots = chosen.slots or (1 if chosen.device_class == "gpu" else settings.cpu_workers)
    return Worker(settings, chosen.device_class, slots, seen_file=chosen.seen_file).run()


if __name__ == "__main__":
    sys.exit(main())
