"""Pairs of nearly equal fingerprints among millions, without comparing all with all.

Multi-index hashing (Norouzi, Punjani & Fleet, CVPR 2012): two fingerprints that differ in fewer
bits than they have slices are equal in at least one slice. So only those are compared that share
a slice, and none is missed.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SLICES = 16
MAX_DISTANCE = SLICES - 1
"""Bits of 256 in which near duplicates may differ."""

_WORDS = 4
_PAIRS_AT_ONCE = 4_000_000


def near_pairs(fingerprints: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """All pairs that differ in at most MAX_DISTANCE bits; the first of equal ones of a label stands for all.

    Memory grows with the number of fingerprints and of pairs found, not of pairs compared.

    Args:
        fingerprints: [N, 32].
        labels: [N].

    Returns:
        [P, 2], smaller index first, in ascending order.
    """
    if not len(fingerprints):
        return np.zeros((0, 2), np.int64)
    # Equal ones would be compared with each other in every slice.
    labelled = np.concatenate([fingerprints, labels[:, None]], 1)
    _, first, copies = np.unique(labelled, axis=0, return_index=True, return_inverse=True)
    unique = fingerprints[first]
    found = [np.stack([first[copies], np.arange(len(copies))], 1)]
    found[0] = found[0][found[0][:, 0] != found[0][:, 1]]
    slices, words = unique.view(np.uint16), unique.view(np.uint64)
    for column in range(SLICES):
        for left, right in _sharing(slices[:, column]):
            distance = np.zeros(len(left), np.int64)
            for word in range(_WORDS):
                distance += np.bitwise_count(words[left, word] ^ words[right, word])
            near = distance <= MAX_DISTANCE
            found.append(np.sort(first[np.stack([left[near], right[near]], 1)], axis=1))
    return np.unique(np.concatenate(found), axis=0).astype(np.int64)


def _sharing(keys: NDArray[np.uint16]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of indices with equal keys, in pieces of bounded size."""
    order = np.argsort(keys, kind="stable")
    ends = np.searchsorted(keys[order], keys[order], side="right")
    partners = ends - np.arange(len(order)) - 1
    total = np.cumsum(partners)
    start = 0
    while start < len(order):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _PAIRS_AT_ONCE, side="right")))
        mine = np.arange(start, stop)
        left = np.repeat(mine, partners[mine])
        offset = np.arange(len(left)) - np.repeat(total[mine] - partners[mine] - done, partners[mine])
        yield order[left], order[left + 1 + offset]
        start = stop
