"""Seeded generators, and the settings under which equal input gives equal bits."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.utils.deterministic

from engine.seeds import derive_seed

_PROBE_SIZE = 1 << 20
"""Large enough for an elementwise operation to use every intra-operation thread."""


def make_generator(seed: int, *names: str | int) -> torch.Generator:
    """A CPU generator seeded by `derive_seed`: the same numbers on every device."""
    return torch.Generator().manual_seed(derive_seed(seed, *names))


def prepare_process() -> bool:
    """Flush denormals to zero in this process; call it before the process's first torch
    computation.

    Gradients of a net trained to zero loss become denormal, which makes Adam several times slower.
    The setting is a register of each thread, and threads inherit it when torch creates its pool: a
    later call sets the calling thread alone, and parts of one tensor round differently. For the
    same reason it is never switched back. Returns whether all threads flush now.
    """
    if not torch.set_flush_denormal(True):
        return False
    return not bool(torch.full((_PROBE_SIZE,), 1e-30).mul_(1e-12).any())


@contextmanager
def deterministic(
    enabled: bool = True, num_threads: int | None = None, *, allow_tf32: bool = False
) -> Iterator[None]:
    """Apply the settings of one run and restore them at its end: kernels, thread count, TF32.

    enabled: use deterministic kernels only, on CPU and GPU (an operation without one raises), and
    no cuDNN autotuning. num_threads: intra-operation threads on the CPU; None leaves them
    unchanged. allow_tf32: let a GPU multiply in TF32, including cuDNN's convolutions; otherwise
    TF32 is off. Flushing of denormals stays on (`prepare_process`). With deterministic kernels
    torch would fill new memory first; this is off, as no kernel here reads uninitialised memory and
    filling takes a twentieth of a training.
    """
    before = _read_settings()
    if enabled:
        os.environ.setdefault(
            "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
        )  # cuBLAS refuses determinism without it
    _apply_settings((enabled, False, enabled, not enabled, allow_tf32, allow_tf32, False))
    threads_before = torch.get_num_threads()
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    if not prepare_process() and torch.get_num_threads() > 1:
        warnings.warn(
            "torch computed with several threads before denormals were flushed: results may differ "
            "from those of a fresh process; call engine.determinism.prepare_process() first",
            RuntimeWarning,
            stacklevel=3,
        )
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        _apply_settings(before)


_Settings = tuple[bool, bool, bool, bool, bool, bool, bool]
"""deterministic algorithms, warn only, cuDNN deterministic, cuDNN benchmark, TF32 in matmul, TF32
in cuDNN, filling of uninitialised memory"""


def _read_settings() -> _Settings:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )


def _apply_settings(settings: _Settings) -> None:
    algorithms, warn_only, deterministic_cudnn, benchmark, matmul_tf32, cudnn_tf32, fills = settings
    torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
    torch.backends.cudnn.deterministic = deterministic_cudnn
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.cuda.matmul.allow_tf32 = matmul_tf32
    torch.backends.cudnn.allow_tf32 = cudnn_tf32
    torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]


__all__ = ["derive_seed", "deterministic", "make_generator", "prepare_process"]
