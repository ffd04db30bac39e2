"""Which split a group belongs to, if nobody has said."""

import hashlib
from collections.abc import Sequence

from training.sample import SPLITS, Split

SHARES: dict[Split, float] = {"train": 0.70, "val": 0.15, "test": 0.15}


def choose_split(group: str, seed: int = 0, allowed: Sequence[Split] = SPLITS) -> Split:
    """One of the allowed splits, in the proportion of their SHARES.

    It depends on nothing but the arguments, so that a group added later moves no other.
    """
    place = hash_of(f"{seed} {group}") / 2**256 * sum(SHARES[split] for split in allowed)
    for split in allowed[:-1]:
        place -= SHARES[split]
        if place < 0:
            return split
    return allowed[-1]


def hash_of(text: str) -> int:
    """The SHA-256 of a text as a number below 2 ** 256."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest())
