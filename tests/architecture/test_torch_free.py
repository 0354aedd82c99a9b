"""API, client and storage import no torch, torchvision, numpy or matplotlib."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "torchvision", "numpy", "matplotlib")

REFUSE_AND_IMPORT = """
import sys
from importlib import import_module
from importlib.abc import MetaPathFinder

HEAVY = set(sys.argv[1].split(","))

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError(f"{name} is refused")
        return None

sys.meta_path.insert(0, Refuse())
for name in sys.argv[2].split(","):
    module = import_module(name)
from engine.experiments.registry import kinds, presets
assert kinds(), "no kinds were found"
presets()
loaded = HEAVY & {name.partition(".")[0] for name in sys.modules}
assert not loaded, f"loaded despite the hook: {loaded}"
"""


def import_without(heavy: tuple[str, ...], names: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", REFUSE_AND_IMPORT, ",".join(heavy), ",".join(names)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def modules_of(package: str, root: Path = ROOT) -> list[str]:
    files = sorted((root / package).rglob("*.py"))
    names = [".".join(file.relative_to(root).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names]


def torch_free_engine_modules() -> list[str]:
    """Specs, results, presets, kinds and the modules that they import."""
    named = {"spec", "kind", "context", "errors", "cost", "result", "seeds"}
    kind = {"__init__", "spec", "result", "presets", "judge", "published", "registry"}
    found = [
        name
        for name in modules_of("engine")
        if name.count(".") == 1 and name.split(".")[1] in named
    ]
    found += [name for name in modules_of("engine") if name.endswith(".spec") and name not in found]
    for file in sorted((ROOT / "engine" / "experiments").rglob("*.py")):
        if file.stem in kind:
            found.append(
                ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            )
    return [
        *dict.fromkeys(
            [*found, "engine.models.layout", "engine.training.policies", "engine.analysis.stats"]
        )
    ]


@pytest.mark.parametrize(
    ("package", "root"),
    [("schemas", ROOT), ("storage", ROOT), ("runtime", ROOT), ("richregime", ROOT / "client")],
)
def test_every_module_of_the_package_imports_without_torch(package: str, root: Path) -> None:
    done = import_without(
        HEAVY, [one for one in modules_of(package, root) if "__main__" not in one]
    )
    assert done.returncode == 0, done.stderr


def test_the_api_and_the_command_line_import_without_torch() -> None:
    done = import_without(HEAVY, ["api.app", "richregime", "ops.commands"])
    assert done.returncode == 0, done.stderr


def test_the_specs_and_results_of_the_engine_import_without_torch() -> None:
    done = import_without(HEAVY, torch_free_engine_modules())
    assert done.returncode == 0, done.stderr


def test_the_hook_refuses_a_module_that_imports_torch() -> None:
    done = import_without(HEAVY, ["engine.models.net"])
    assert done.returncode != 0
    assert "is refused" in done.stderr
