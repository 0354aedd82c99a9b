"""Addresses that cannot be listened on are told as what they are."""

from __future__ import annotations

import socket

import pytest

from ops.ports import LOOPBACK, free_port, is_free
from runtime.setting_errors import InvalidSetting


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        assert not is_free(LOOPBACK, server.getsockname()[1])
    assert is_free(LOOPBACK, free_port())


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("no.such.host.invalid", "'no.such.host.invalid' is no known host"),
        ("192.0.2.1", "'192.0.2.1' is not an address of this machine"),
    ],
)
def test_a_host_that_is_not_this_machine_is_named(host: str, reason: str) -> None:
    with pytest.raises(InvalidSetting, match="RICHREGIME_HOST or --host") as refused:
        is_free(host, 8000)
    assert reason in str(refused.value)
    with pytest.raises(InvalidSetting, match="RICHREGIME_HOST or --host"):
        free_port(host)
