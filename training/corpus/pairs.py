"""Real and forged media are made in pairs, in several processes; a pair is in one split."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from training.sample import Sample, Split

_SPLITS: tuple[tuple[Split, float], ...] = (("train", 0.70), ("val", 0.85), ("test", 1.0))


def write_pairs(write: Callable[[int], tuple[Sample, Sample]], count: int, workers: int) -> list[Sample]:
    """The samples of write(0), write(1), … in that order."""
    # Not forked: the parent may hold TensorFlow's threads.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return [sample for pair in pool.map(write, range(count), chunksize=8) for sample in pair]


def split_of(index: int, seed: int) -> Split:
    """The split of a pair."""
    draw = np.random.default_rng((seed, index, 1)).random()
    return next(name for name, limit in _SPLITS if draw < limit)
