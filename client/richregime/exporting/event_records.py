"""The bytes of event files: TFRecords of TensorBoard's `Event` messages.

Only the fields of scalars and hyperparameters are encoded. tensorboardX is not used because it
imports torch if it is installed (docs/decisions/0009).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from math import copysign, inf, nan
from typing import Any

FILE_VERSION = b"brain.Event:2"
POLYNOMIAL = 0x82F63B78
"""Castagnoli's polynomial, reflected."""
STRING, BOOL, FLOAT64 = 1, 2, 3
"""Values of `tensorboard.hparams.DataType`."""
SUCCESS, FAILURE = 1, 2
"""Values of `tensorboard.hparams.Status`."""


def frame(message: bytes) -> bytes:
    """A TFRecord: the length and the message, each followed by its masked CRC-32C."""
    length = struct.pack("<Q", len(message))
    return b"".join((length, _masked_crc(length), message, _masked_crc(message)))


def encode_version(wall_time: float) -> bytes:
    """The first event of a file."""
    return _double(1, wall_time) + _bytes(3, FILE_VERSION)


def encode_scalar(wall_time: float, step: int, tag: str, value: float | None) -> bytes:
    """An event with one scalar; None becomes NaN, a value beyond float32 becomes infinite."""
    return _event(wall_time, step, _text(1, tag) + _float(2, nan if value is None else value))


def encode_hyperparameters(
    wall_time: float, values: Mapping[str, Any], metrics: Sequence[str]
) -> Iterator[bytes]:
    """The two events of the HPARAMS plug-in: names with metrics, and values; null is left out."""
    known = {name: _value(value) for name, value in values.items() if value is not None}
    infos = [_bytes(4, _text(1, name) + _integer(4, kind)) for name, (kind, _) in known.items()]
    tags = [_bytes(5, _bytes(1, _text(2, name))) for name in metrics]
    entries = [_bytes(1, _text(1, name) + _bytes(2, value)) for name, (_, value) in known.items()]
    yield _plugin_event(wall_time, "experiment", _bytes(2, b"".join((*infos, *tags))))
    yield _plugin_event(wall_time, "session_start_info", _bytes(3, b"".join(entries)))


def encode_end(wall_time: float, *, succeeded: bool) -> bytes:
    """The event of the HPARAMS plug-in with the status of the run."""
    return _plugin_event(
        wall_time, "session_end_info", _bytes(4, _integer(1, SUCCESS if succeeded else FAILURE))
    )


def _plugin_event(wall_time: float, tag: str, content: bytes) -> bytes:
    """An event without a value, with metadata of the HPARAMS plug-in."""
    metadata = _bytes(1, _text(1, "hparams") + _bytes(2, content))
    return _event(wall_time, 0, _text(1, f"_hparams_/{tag}") + _bytes(9, metadata))


def _event(wall_time: float, step: int, value: bytes) -> bytes:
    return _double(1, wall_time) + _integer(2, step) + _bytes(5, _bytes(1, value))


def _value(value: Any) -> tuple[int, bytes]:
    """The type of a hyperparameter, and its value as a `google.protobuf.Value`."""
    if isinstance(value, bool):
        return BOOL, _integer(4, int(value))
    if isinstance(value, int | float):
        return FLOAT64, _double(2, float(value))
    return STRING, _text(3, str(value))


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _float(number: int, value: float) -> bytes:
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        packed = struct.pack("<f", copysign(inf, value))
    return _varint(number << 3 | 5) + packed


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


CRC_TABLE = _crc_table()


def _masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
