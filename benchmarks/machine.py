"""The machine on which the figures were measured."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from engine.hardware import describe_processor

LIBRARIES = (
    "richregime-service",
    "torch",
    "numpy",
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "celery",
    "pydantic",
)


def describe_machine() -> dict[str, Any]:
    """Hardware, versions and the current load."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": describe_processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "load_average": list(os.getloadavg()),
        "versions": {
            "python": platform.python_version(),
            **_list_versions(),
        },
    }


def _list_versions() -> dict[str, str]:
    """Of the libraries that are there: on a bare GPU machine there is no service."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
