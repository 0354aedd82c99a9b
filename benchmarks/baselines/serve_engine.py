"""Trains once by the engine at every line that it reads, and answers with the seconds.

`python -m benchmarks.baselines.serve_engine '{"spec": {...}, "seeds": [0, 1], "threads": 1}' DATA`
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from engine.process_memory import keep_freed_memory
from engine.threads import wait_briefly


def main() -> None:
    """In a process of its own, as a worker's child computes."""
    asked, data_dir = json.loads(sys.argv[1]), sys.argv[2]
    os.environ.pop("GOMP_SPINCOUNT", None)
    if asked["brief"]:
        wait_briefly()
    if asked["keeps_memory"]:
        keep_freed_memory()
    import torch

    from benchmarks.engine_runs import train_seeds
    from benchmarks.options import Options
    from engine.determinism import prepare_process

    prepare_process()
    print(json.dumps({"torch": torch.__version__}), flush=True)
    with tempfile.TemporaryDirectory(prefix="richregime-served-") as folder:
        options = Options(Path(folder), Path(data_dir) if data_dir else None, False, False)
        for _ in sys.stdin:
            began = time.perf_counter()
            train_seeds(options, asked["spec"], asked["seeds"], threads=asked["threads"])
            print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main()
