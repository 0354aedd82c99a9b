"""Seeds for every generator, derived by hashing; imports no torch."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the generator called `names` of the seed `seed`.

    Every generator of the engine is seeded here, so that draws for one purpose never depend on how
    much was drawn for another. Type and position of names count: ("a", 1), ("a1",) and ("a", "1")
    give different seeds.
    """
    text = repr((seed, *names)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
