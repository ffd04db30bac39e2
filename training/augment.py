"""Training-time variation of rows: what changes a picture without making or hiding a forgery."""

from typing import Any

import tensorflow as tf


def augment_images(rows: Any, seed: Any) -> Any:
    """uint8 [B, H, W, 3] → same: turned, mirrored, colours exchanged, tone changed, per row.

    Args:
        seed: int [2]; the same one varies the same rows alike.
    """
    return _varied(rows, _Chance(seed), axes=(1, 2))


def turn_cells(cells: Any, seed: Any) -> Any:
    """[B, h, w] → same: turned and mirrored as `augment_images` does rows with this seed."""
    return _turned(cells[..., None], _Chance(seed), axes=(1, 2))[..., 0]


def augment_clips(rows: Any, seed: Any) -> Any:
    """uint8 [B, T, H, W, 3] → same: as `augment_images`, alike for all frames of a clip."""
    chance = _Chance(seed)
    clips = _varied(rows, chance, axes=(2, 3))
    return tf.where(chance.coin(clips), tf.reverse(clips, [1]), clips)


def _turned(rows: Any, chance: "_Chance", axes: tuple[int, int]) -> Any:
    for axis in axes:
        rows = tf.where(chance.coin(rows), tf.reverse(rows, [axis]), rows)
    if rows.shape[axes[0]] == rows.shape[axes[1]]:
        order = list(range(rows.shape.rank))
        order[axes[0]], order[axes[1]] = axes[1], axes[0]
        rows = tf.where(chance.coin(rows), tf.transpose(rows, order), rows)
    return rows


def _varied(rows: Any, chance: "_Chance", axes: tuple[int, int]) -> Any:
    rows = _turned(rows, chance, axes)
    rows = tf.where(chance.coin(rows, 0.3), tf.reverse(rows, [rows.shape.rank - 1]), rows)
    gain = chance.uniform(rows, 0.8, 1.2)
    shift = chance.uniform(rows, -12.0, 12.0)
    toned = tf.cast(rows, tf.float32) * gain + shift
    toned = tf.cast(tf.clip_by_value(tf.round(toned), 0, 255), tf.uint8)
    return tf.where(chance.coin(rows, 0.4), toned, rows)


class _Chance:
    """One number per row at every call, decided by the seed and how many calls were before."""

    def __init__(self, seed: Any) -> None:
        self._seed = seed
        self._calls = 0

    def uniform(self, rows: Any, low: float = 0.0, high: float = 1.0) -> Any:
        seed = tf.random.fold_in(self._seed, self._calls)
        self._calls += 1
        shape = tf.concat([tf.shape(rows)[:1], tf.ones([rows.shape.rank - 1], tf.int32)], 0)
        return tf.random.stateless_uniform(shape, seed, low, high)

    def coin(self, rows: Any, chance: float = 0.5) -> Any:
        return self.uniform(rows) < chance
