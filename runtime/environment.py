"""Variables that a parent process left behind, such as a notebook or another Celery project.

The libraries of the service read them, and some would take it to another broker, make it fail or
change its arithmetic. The documentation of the settings says which variables do count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping

LEFTOVER_PREFIXES = ("CELERY_", "KOMBU_", "PROMETHEUS_", "PSYCOPG_", "UVICORN_")
"""Celery prefers its variables to the application's settings: `CELERY_BROKER_URL` would send wake-
ups to another broker. The metrics, database and server libraries read theirs at import."""

LEFTOVER_NAMES = frozenset(
    {
        # Celery and its processes
        *("C_FAKEFORK", "C_FORCE_ROOT", "C_STRICT_APP", "C_WNOCONF", "FORKED_BY_MULTIPROCESSING"),
        # uvicorn: several API processes, of which only one would have the port
        "WEB_CONCURRENCY",
        # matplotlib: a notebook's backend, another project's style
        *("MPLBACKEND", "MATPLOTLIBRC"),
        # Python: no assertions, warnings as errors, a prompt at the end, another library
        *("PYTHONHOME", "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS"),
        # arithmetic: the spec has the precision; kernels that are not deterministic
        *("CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
        # speed: all workers on the cores of the parent, a GPU that waits after each kernel
        *("CUDA_LAUNCH_BLOCKING", "GOMP_CPU_AFFINITY", "KMP_AFFINITY", "OMP_PLACES"),
        "OMP_PROC_BIND",
        # TLS: a file with the secrets of all connections
        "SSLKEYLOGFILE",
    }
)


def list_leftovers(names: Iterable[str]) -> list[str]:
    """Those of the variables that the service ignores, sorted."""
    return sorted(
        name for name in names if name in LEFTOVER_NAMES or name.startswith(LEFTOVER_PREFIXES)
    )


def without_leftovers(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process of the service."""
    ignored = set(list_leftovers(environment))
    return {name: value for name, value in environment.items() if name not in ignored}


def remove_leftovers(environment: MutableMapping[str, str]) -> None:
    """Remove them from this process, before it uses the libraries that read them."""
    for name in list_leftovers(environment):
        del environment[name]
