"""Named bodies of the room `lws`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.kind import Preset


def presets() -> Sequence[Preset]:
    return ()
