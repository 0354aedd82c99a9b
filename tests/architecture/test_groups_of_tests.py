"""Tests that share a costly or a fragile fixture run in one process, one after the other."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("example")
def test_the_group_of_a_test_is_known_to_the_scheduler(request: pytest.FixtureRequest) -> None:
    """Some versions of pytest and pytest-xdist ignore groups without a word."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@example")
