"""`GET /limits` tells what a key may do, so that a program offers no more."""

from __future__ import annotations

import pytest

from schemas.access import Scope
from tests.api.api_server import ApiServer
from tests.api.keys import make_key, request_with_key


def test_without_keys_everything_is_allowed(api_server: ApiServer) -> None:
    assert api_server.get("/limits")["scopes"] == [*Scope]


@pytest.mark.parametrize(
    ("held", "allowed"),
    [
        ((Scope.READ,), ["read"]),
        ((Scope.CANCEL, Scope.READ), ["read", "cancel"]),
        ((Scope.READ, Scope.SUBMIT, Scope.CANCEL), ["read", "submit", "cancel"]),
        ((Scope.ADMIN,), ["read", "submit", "cancel", "admin"]),
    ],
)
def test_the_limits_of_a_key_tell_its_scopes(
    api_with_keys: ApiServer, held: tuple[Scope, ...], allowed: list[str]
) -> None:
    key = make_key(api_with_keys.db, *held)
    assert request_with_key(api_with_keys, key, path="/limits").json()["scopes"] == allowed
