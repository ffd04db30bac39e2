"""Augmentation varies rows and keeps their kind."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from training.augment import augment_clips, augment_images, turn_cells

SEED = (3, 4)


def rows(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(40, 200, shape, np.uint8)


@pytest.mark.parametrize(
    ("augment", "batch"),
    [(augment_images, rows(48, 64, 64, 3)), (augment_clips, rows(24, 5, 64, 64, 3))],
    ids=["images", "clips"],
)
def test_rows_vary_and_keep_their_kind(augment: Callable[[Any, Any], Any], batch: NDArray[np.uint8]) -> None:
    values = next(iter(tf.data.Dataset.from_tensors((batch, SEED)).map(augment).as_numpy_iterator()))
    assert values.shape == batch.shape
    assert values.dtype == np.uint8
    assert (values != batch).reshape(len(batch), -1).any(axis=1).mean() > 0.5


def test_frames_of_a_clip_are_turned_and_toned_alike() -> None:
    still = np.repeat(rows(16, 1, 64, 64, 3), 5, axis=1)
    values = np.asarray(augment_clips(tf.constant(still), SEED))
    np.testing.assert_array_equal(values, np.repeat(values[:, :1], 5, axis=1))


def test_cells_turn_with_their_rows() -> None:
    cells = np.random.default_rng(0).permutation(16 * 64).reshape(16, 8, 8) % 2
    batch = np.repeat(cells[..., None] * 200, 3, axis=-1).astype(np.uint8)
    turned = np.asarray(turn_cells(tf.constant(cells), SEED))
    np.testing.assert_array_equal(
        np.asarray(augment_images(tf.constant(batch), SEED))[..., 0] > 100, turned > 0
    )
    assert (turned != cells).any()


def test_the_seed_decides() -> None:
    batch = tf.constant(rows(8, 32, 32, 3))
    first, again, other = (np.asarray(augment_images(batch, seed)) for seed in (SEED, SEED, (3, 5)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
