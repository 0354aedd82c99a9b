"""Import torchvision, even if its compiled operators do not fit the installed torch."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from types import ModuleType

import torch


def import_torchvision(name: str) -> ModuleType:
    """The module `torchvision.{name}`; its models, data sets, transforms and weight tables work."""
    make_torchvision_importable()
    return import_module(f"torchvision.{name}")


@cache
def make_torchvision_importable() -> torch.library.Library | None:
    """Make `import torchvision` work.

    With a CPU torch, importing a torchvision wheel built for CUDA fails because its operators `nms`
    and `qnms` are unknown. Declaring them without a body satisfies the import; nothing here calls
    them. The declarations live as long as the returned object, which the cache holds.
    """
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return None
    for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[module]
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    import_module("torchvision")
    return library
