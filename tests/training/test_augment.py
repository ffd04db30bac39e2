"""Augmentation varies rows, forges some real ones, and never calls a forged one real."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from training.augment import augment_clips, augment_images


def rows(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(40, 200, shape, np.uint8)


@pytest.mark.parametrize(
    ("augment", "batch"),
    [(augment_images, rows(48, 64, 64, 3)), (augment_clips, rows(24, 5, 64, 64, 3))],
    ids=["images", "clips"],
)
def test_rows_vary_and_keep_their_kind(augment: Callable[[Any, Any], Any], batch: NDArray[np.uint8]) -> None:
    labels = np.tile(np.array([0, 1], np.float32), len(batch) // 2)
    dataset = tf.data.Dataset.from_tensors((batch, labels)).map(augment)
    values, targets = next(iter(dataset.as_numpy_iterator()))
    assert (values.shape, values.dtype) == (batch.shape, np.uint8)
    assert (values != batch).reshape(len(batch), -1).any(axis=1).mean() > 0.5
    assert (targets[labels == 1] == 1).all()
    assert 0 < targets[labels == 0].mean() < 0.8


def test_frames_of_a_clip_are_turned_and_toned_alike() -> None:
    still = np.repeat(rows(16, 1, 64, 64, 3), 5, axis=1)
    values, _ = augment_clips(still, np.ones(16, np.float32))
    np.testing.assert_array_equal(values, np.repeat(values[:, :1], 5, axis=1))


def test_the_seed_decides() -> None:
    batch, labels = rows(8, 32, 32, 3), np.zeros(8, np.float32)
    made = []
    for _ in range(2):
        tf.keras.utils.set_random_seed(3)
        made.append(np.asarray(augment_images(tf.constant(batch), tf.constant(labels))[0]))
    np.testing.assert_array_equal(made[0], made[1])
