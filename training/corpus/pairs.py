"""Real and forged media are made in pairs, in several processes; a pair is in one split."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from training.datasets.plain import LABEL_FOLDERS
from training.sample import Sample, Split

_SPLITS: tuple[tuple[Split, float], ...] = (("train", 0.70), ("val", 0.85), ("test", 1.0))


def write_pairs(
    write: Callable[[Path, int, int], tuple[Sample, Sample]],
    folder: Path,
    media: str,
    seed: int,
    count: int,
    workers: int,
) -> list[Sample]:
    """The samples of `count` pairs, in their order.

    Args:
        write: writes the pair of a number, as write(folder, seed, number).
        media: name of the folders below real/ and fake/, which are made here.
    """
    for label in LABEL_FOLDERS:
        (folder / label / media).mkdir(parents=True, exist_ok=True)
    # Not forked: the parent may hold TensorFlow's threads.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return [
            sample
            for pair in pool.map(partial(write, folder, seed), range(count), chunksize=8)
            for sample in pair
        ]


def split_of(index: int, seed: int) -> Split:
    """The split of a pair."""
    draw = np.random.default_rng((seed, index, 1)).random()
    return next(name for name, limit in _SPLITS if draw < limit)
