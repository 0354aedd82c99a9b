"""Write the torch-free list of torchvision's architectures: `python -m ops.torchvision_catalog`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.data.torchvision_import import import_torchvision
from engine.models import torchvision_catalog

PATH = Path(torchvision_catalog.__file__).with_name(torchvision_catalog.CATALOG_FILE)


def describe_catalog() -> str:
    """The file's text for the installed torchvision."""
    models: Any = import_torchvision("models")
    found = {
        name: {one.name: one.url.rpartition("/")[2] for one in models.get_model_weights(name)}
        for name in models.list_models(module=models)
    }
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(describe_catalog(), encoding="utf-8")
