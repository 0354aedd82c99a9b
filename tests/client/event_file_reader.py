"""Reads event files of TensorBoard with the messages and checksums of tensorboardX."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.record_writer import masked_crc32c


def read_events(path: Path) -> Iterator[Any]:
    """Each event; asserts every length and checksum."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        length_crc, message, crc = (
            data[8:12],
            data[12 : 12 + length],
            data[12 + length : 16 + length],
        )
        assert struct.unpack("<I", length_crc)[0] == masked_crc32c(struct.pack("<Q", length))
        assert struct.unpack("<I", crc)[0] == masked_crc32c(message)
        yield Event.FromString(message)
        data = data[16 + length :]


def read_scalars(path: Path) -> dict[tuple[str, int], float]:
    """The scalars by tag and step."""
    return {
        (value.tag, event.step): value.simple_value
        for event in read_events(path)
        for value in event.summary.value
        if value.WhichOneof("value") == "simple_value"
    }


def read_plugin(path: Path, tag: str) -> Any:
    """The data of the plug-in `hparams` under a tag."""
    (found,) = (
        value.metadata.plugin_data
        for event in read_events(path)
        for value in event.summary.value
        if value.tag == f"_hparams_/{tag}"
    )
    assert found.plugin_name == "hparams"
    return HParamsPluginData.FromString(found.content)
