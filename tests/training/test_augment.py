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


def test_squares_are_turned_in_all_eight_ways() -> None:
    corners = np.repeat(np.arange(4).reshape(1, 2, 2), 128, axis=0)
    turned = np.asarray(turn_cells(tf.constant(corners), SEED))
    assert len(np.unique(turned, axis=0)) == 8


def test_tones_stay_near_and_do_not_wrap() -> None:
    bright = np.asarray(augment_images(tf.constant(np.full((128, 4, 4, 3), 250, np.uint8)), SEED))
    assert 187 <= bright.min() < 250 < bright.max()


def test_some_rows_exchange_red_and_blue() -> None:
    red = np.broadcast_to(np.array([200, 90, 40], np.uint8), (128, 4, 4, 3))
    values = np.asarray(augment_images(tf.constant(red), SEED))
    assert 0.2 < (values[:, 0, 0, 2] > values[:, 0, 0, 0]).mean() < 0.4


def test_half_of_the_clips_run_backwards() -> None:
    brighter = np.broadcast_to(np.arange(60, 160, 20, dtype=np.uint8)[:, None, None, None], (128, 5, 4, 4, 3))
    values = np.asarray(augment_clips(tf.constant(brighter), SEED))
    assert 0.35 < (values[:, 0] > values[:, -1]).reshape(128, -1).all(axis=1).mean() < 0.65
