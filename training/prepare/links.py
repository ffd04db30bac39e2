"""What ties files together, held as numbers: a million files take a few hundred megabytes."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.prepare.journal import Inspection, ListedFile
from training.prepare.near import near_pairs
from training.sample import SPLITS

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Links:
    """Files are numbered in the order of `Journal.usable`, identities as they come up.

    Attributes:
        identities: [K], their names.
        of_file, of_identity: [E], side by side: this file shows that identity.
        first_identity: bool [E], the first of a file's.
        same: [F], the first file with the same bytes; a file's own number if there is no earlier.
        near: [P, 2], files whose content is nearly the same.
        splits: uint8 [F], bit n is set where SPLITS[n] is allowed.
        labels: uint8 [F].
    """

    identities: list[str]
    of_file: Index
    of_identity: Index
    first_identity: NDArray[np.bool_]
    same: Index
    near: Index
    splits: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def read_links(files: Iterable[tuple[ListedFile, Inspection]], official_splits: bool) -> Links:
    """Reads all usable files once.

    Args:
        official_splits: False allows every file every split.
    """
    numbers: dict[str, int] = {}
    contents: dict[bytes, int] = {}
    of_file, of_identity, same, marked = array("q"), array("q"), array("q"), array("q")
    splits, labels, fingerprints = bytearray(), bytearray(), bytearray()
    for number, (file, inspection) in enumerate(files):
        for name in file.identities:
            of_file.append(number)
            of_identity.append(numbers.setdefault(name, len(numbers)))
        same.append(contents.setdefault(bytes.fromhex(inspection.content_hash), number))
        splits.append(sum(1 << SPLITS.index(split) for split in file.splits) if official_splits else ANY)
        labels.append(file.label)
        if inspection.fingerprint is not None:
            marked.append(number)
            fingerprints += inspection.fingerprint
    owners, label_of = _index(of_file), np.frombuffer(bytes(labels), np.uint8)
    shown = _index(marked)
    pairs = near_pairs(np.frombuffer(bytes(fingerprints), np.uint8).reshape(-1, 32), label_of[shown])
    return Links(
        list(numbers),
        owners,
        _index(of_identity),
        np.diff(owners, prepend=-1) > 0,
        _index(same),
        shown[pairs],
        np.frombuffer(bytes(splits), np.uint8),
        label_of,
    )


ANY = 2 ** len(SPLITS) - 1
"""All splits are allowed."""


def _index(numbers: "array[int]") -> Index:
    return np.frombuffer(numbers, np.int64) if numbers else np.zeros(0, np.int64)
