"""The plug-ins of the documents and examples work as they are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.registry import parse_spec
from engine.models.layout import layout
from engine.models.local_host import LocalHost
from engine.models.torchvision_catalog import architectures

ROOT = Path(__file__).parents[2]


def written_plugin() -> str:
    page = (ROOT / "docs" / "how-to" / "your-own-nets.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (found,) = [str(block) for block in blocks if "MODELS" in block]
    return found


@pytest.mark.parametrize(
    ("name", "text", "layers"),
    [
        ("small", written_plugin(), 2),
        ("vit_tiny", (ROOT / "examples" / "plugins" / "vit_tiny.py").read_text("utf-8"), 12),
    ],
)
def test_a_written_plugin_is_layered(
    write_plugin: Callable[[str, str], LocalHost], name: str, text: str, layers: int
) -> None:
    host = write_plugin("my_net.py", text)
    assert host.list_plugin_models().problems == ()
    spec = parse_spec({"kind": "lws", "model": {"name": name}})
    assert len(layout(spec.model, BUILTIN_DATASETS["digits"])) == layers


def test_the_documents_count_torchvision_s_architectures() -> None:
    for path in ("README.md", "docs/how-to/your-own-nets.md"):
        text = (ROOT / path).read_text(encoding="utf-8").replace("\n", " ")
        assert re.findall(r"\b(\d+) classification architectures", text) == [
            str(len(architectures()))
        ]


def test_the_table_of_architectures_is_what_is_found() -> None:
    from tests.traced.test_torchvision import FAMILIES

    page = (ROOT / "docs" / "how-to" / "your-own-nets.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"`(\w+)` \| (\d+) \|", page))
    assert len(rows) == 10
    assert {name: int(count) for name, count in rows.items()}.items() <= FAMILIES.items()
