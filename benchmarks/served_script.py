"""Scripts in processes of their own that train at every line they read; programs that stay busy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.images import user_images
from benchmarks.options import Options

ROOT = Path(__file__).parents[1]
JAX_SCRIPT = Path(__file__).parent / "baselines" / "jax_script.py"


class ServedScript:
    """A process that answers each line with the JSON of what it took; it ends with its block."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self.versions: Mapping[str, str] = {}

    def __enter__(self) -> ServedScript:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self.versions = self._read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def ask(self) -> None:
        """Start a training; `answer` waits for it."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def answer(self) -> float:
        return float(self._read()["seconds"])

    def train(self) -> float:
        """The seconds of one training."""
        self.ask()
        return self.answer()

    def _read(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{' '.join(self._command)} has ended"
        return json.loads(line)


def served_engine(
    options: Options,
    spec: Mapping[str, Any],
    seeds: Sequence[int],
    threads: int = 1,
    *,
    brief: bool = True,
    keeps_memory: bool = True,
) -> ServedScript:
    """brief: its threads wait as shipped; else they keep their cores busy while they wait.

    keeps_memory: its freed memory stays with it, as shipped; else the C library decides.
    """
    asked = {
        "spec": spec,
        "seeds": list(seeds),
        "threads": threads,
        "brief": brief,
        "keeps_memory": keeps_memory,
    }
    module = "benchmarks.baselines.serve_engine"
    data = "" if options.data_dir is None else str(options.data_dir.resolve())
    return ServedScript([sys.executable, "-m", module, json.dumps(asked), data])


class Jax:
    """JAX in an environment of its own, and the images for its script."""

    def __init__(self, options: Options) -> None:
        import numpy as np

        environment = options.work_dir / "jax"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        self._python = str(environment / "bin" / "python")
        subprocess.run([self._python, "-m", "pip", "install", "--quiet", "jax[cpu]"], check=True)
        images = user_images(options)
        self._images = str(options.work_dir / "images.npz")
        np.savez(
            self._images,
            x_train=images.x_train,
            y_train=images.y_train,
            x_test=images.x_test,
            y_test=images.y_test,
        )

    def command(self, width: int, depth: int, seeds: int, epochs: int, each: str) -> list[str]:
        sizes = {"width": width, "depth": depth, "seeds": seeds, "epochs": epochs}
        arguments = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
        return [self._python, str(JAX_SCRIPT), self._images, *arguments, "--each", each]

    def serve(self, width: int, depth: int, seeds: int, epochs: int, each: str) -> ServedScript:
        return ServedScript([*self.command(width, depth, seeds, epochs, each), "--serve"])

    def whole_process(self, width: int, depth: int, seeds: int, epochs: int, each: str) -> float:
        """The seconds from the start of its process to its end."""
        began = time.perf_counter()
        command = self.command(width, depth, seeds, epochs, each)
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - began


@contextmanager
def busy_loops(number: int) -> Iterator[None]:
    """So many other programs that always compute, for the time of the block."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
