"""`python -m ops.convert_set NAME OUT`: a set of torchvision or of the Hugging Face hub as `.npz`.

`richregime dataset import` runs it in a process of its own: torchvision loads torch.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from engine.data.importing.hub_files import PREFIX, HubChoices
from engine.data.importing.hub_sets import read_hub_set
from engine.data.importing.imported import Imported
from engine.data.importing.options import ImportOptions
from engine.data.npz import NpzLimits
from engine.errors import EngineError, InvalidSpec
from runtime.setting_errors import variable_of
from runtime.settings import read_settings


def main(arguments: list[str] | None = None) -> int:
    """Write the set and, as JSON, its notes; returns 0, or 1 with a message on standard error."""
    parser = argparse.ArgumentParser(prog="richregime dataset import", description=__doc__)
    parser.add_argument("name", help="name of a set of torchvision, or hf:OWNER/NAME")
    parser.add_argument("out", type=Path, help="the .npz file to write")
    parser.add_argument("--notes", type=Path, help="the JSON file to write")
    parser.add_argument("--root", type=Path, help="folder of the files of the set")
    parser.add_argument("--download", action="store_true", help="download missing files")
    for name in ("label", "image", "config", "split-train", "split-test"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--test-share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int)
    parser.add_argument("--colour", choices=("auto", "grey", "colour"), default="auto")
    chosen = parser.parse_args(arguments)
    max_side = NpzLimits().max_side
    if not 0 < chosen.test_share < 1:
        parser.error("the share to test on must be above 0 and below 1")
    if chosen.seed < 0 or not (chosen.side is None or 1 <= chosen.side <= max_side):
        parser.error(f"the seed must be 0 or more, the side 1 to {max_side}")
    settings = read_settings()
    if chosen.download and not settings.allow_download:
        print(f"downloads are switched off ({variable_of('allow_download')})", file=sys.stderr)
        return 1
    try:
        imported = _read(chosen, settings.resolved_data_dir)
    except InvalidSpec as invalid:
        print(*(error.detail for error in invalid.errors), sep="\n", file=sys.stderr)
        return 1
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    imported.write(chosen.out)
    if chosen.notes is not None:
        chosen.notes.write_text(json.dumps(imported.notes))
    return 0


def _read(chosen: argparse.Namespace, data_dir: Path) -> Imported:
    if chosen.name.startswith(PREFIX):
        options = ImportOptions(
            label=chosen.label,
            test_share=chosen.test_share,
            seed=chosen.seed,
            side=chosen.side,
            colour=chosen.colour,
        )
        choices = HubChoices(chosen.image, chosen.config, chosen.split_train, chosen.split_test)
        return read_hub_set(
            chosen.name, options, choices, folder=chosen.root, download=chosen.download
        )
    from engine.data.importing.torchvision_sets import read_torchvision

    return read_torchvision(chosen.name, chosen.root or data_dir, download=chosen.download)


if __name__ == "__main__":
    sys.exit(main())
