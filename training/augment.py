"""Training-time variation of rows.

Turning, mirroring and toning vary a row without making or hiding a forgery. Some real rows are
forged on the spot, with the operators of the corpus: the blends are new in every epoch, and lie
inside the row for certain. Recompression then meets real and forged rows alike.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.corpus.publish import recompress
from training.forgery.blend import self_blend
from training.forgery.flicker import flicker, texture_flicker
from training.forgery.inconsistency import colour_region, noise_region
from training.forgery.resample import upsample_region

_FORGED = 0.35
"""Share of the real rows that become forged ones."""

_RECOMPRESSED = 0.5
"""Share of all image rows that go through JPEG once more."""

_PICTURE_OPERATORS = (self_blend, self_blend, self_blend, upsample_region, noise_region, colour_region)
_CLIP_OPERATORS = (flicker, flicker, flicker, texture_flicker)

Forge = Callable[[np.random.Generator, NDArray[np.uint8]], NDArray[np.uint8]]


def augment_images(rows: Any, labels: Any) -> tuple[Any, Any]:
    """uint8 [B, H, W, 3] and float32 [B] → the same kinds, some real rows forged."""
    rows, labels = _reforged(rows, labels, _forge_picture, recompressed=_RECOMPRESSED)
    return _varied(rows, axes=(1, 2)), labels


def augment_clips(rows: Any, labels: Any) -> tuple[Any, Any]:
    """uint8 [B, T, H, W, 3] and float32 [B]; as `augment_images`, frames of a clip turned alike."""
    rows, labels = _reforged(rows, labels, _forge_clip, recompressed=0)
    rows = _varied(rows, axes=(2, 3))
    return tf.where(_coin(rows), tf.reverse(rows, [1]), rows), labels


def _forge_picture(rng: np.random.Generator, row: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _PICTURE_OPERATORS[rng.integers(len(_PICTURE_OPERATORS))](rng, row)[0]


def _forge_clip(rng: np.random.Generator, row: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack(_CLIP_OPERATORS[rng.integers(len(_CLIP_OPERATORS))](rng, list(row))[0])


def _reforged(rows: Any, labels: Any, forge: Forge, recompressed: float) -> tuple[Any, Any]:
    def change(
        values: NDArray[np.uint8], targets: NDArray[np.float32], seed: NDArray[np.int32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rng = np.random.default_rng(seed)
        values, targets = values.copy(), targets.copy()
        for index in range(len(values)):
            if targets[index] == 0 and rng.random() < _FORGED:
                values[index] = forge(rng, values[index])
                targets[index] = 1
            if rng.random() < recompressed:
                quality = int(rng.integers(60, 98))
                values[index] = recompress(values[index], quality, int(rng.choice([0, 2])))
        return values, targets

    seed = tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
    changed, targets = tf.numpy_function(change, [rows, labels, seed], [tf.uint8, tf.float32])
    return tf.ensure_shape(changed, rows.shape), tf.ensure_shape(targets, labels.shape)


def _varied(rows: Any, axes: tuple[int, int]) -> Any:
    for axis in axes:
        rows = tf.where(_coin(rows), tf.reverse(rows, [axis]), rows)
    if rows.shape[axes[0]] == rows.shape[axes[1]]:
        order = list(range(rows.shape.rank))
        order[axes[0]], order[axes[1]] = axes[1], axes[0]
        rows = tf.where(_coin(rows), tf.transpose(rows, order), rows)
    rows = tf.where(_coin(rows, 0.3), tf.reverse(rows, [rows.shape.rank - 1]), rows)
    gain = tf.random.uniform(_per_row(rows), 0.8, 1.2)
    shift = tf.random.uniform(_per_row(rows), -12.0, 12.0)
    toned = tf.cast(rows, tf.float32) * gain + shift
    toned = tf.cast(tf.clip_by_value(tf.round(toned), 0, 255), tf.uint8)
    return tf.where(_coin(rows, 0.4), toned, rows)


def _coin(rows: Any, chance: float = 0.5) -> Any:
    return tf.random.uniform(_per_row(rows)) < chance


def _per_row(rows: Any) -> Any:
    return tf.concat([tf.shape(rows)[:1], tf.ones([rows.shape.rank - 1], tf.int32)], 0)
