"""Seeds for every generator, derived by hashing; imports no torch."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the generator called `names` of the seed `seed`.

    Every generator of the engine is seeded through here, so that what is drawn for one purpose never depends on
    how much was drawn for another. Names are told apart by type and position: ("a", 1), ("a1",) and ("a", "1") differ.
    """
    text = repr((seed, *names)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
