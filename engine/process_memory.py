"""Memory that a process has freed: kept for its next tensors, or returned. No torch."""

from __future__ import annotations

import ctypes
import os

LARGEST_KEPT = 256 << 20
"""Bytes of the largest tensor whose memory is kept: the activations of a convolutional net's layer
take tens of MB. Larger ones, such as the weights of the widest nets, are returned at once, so that
the peak is that of the tensors in use."""
_LARGEST_OF_OLD_VERSIONS = 32 << 20
"""The most that `mallopt` accepts by its manual page; newer versions of glibc accept more."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # the parameters of `mallopt`, from malloc.h
_NEVER = -1


def keep_freed_memory() -> bool:
    """Let new tensors of this process take the memory of freed ones.

    A step of a convolutional net frees and takes hundreds of MB. By default the C library returns
    much of it, and the system hands it out again page by page, filled with zeros: up to a fifth of
    a training. Returns False where nothing was set: no glibc, or its variables are set by the user.
    """
    if any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    ):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    sizes = (LARGEST_KEPT, _LARGEST_OF_OLD_VERSIONS)
    return any(library.mallopt(_MMAP_THRESHOLD, size) for size in sizes) and bool(
        library.mallopt(_TRIM_THRESHOLD, _NEVER)
    )


def return_freed_memory() -> None:
    """Return what this process keeps of freed memory to the system."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
