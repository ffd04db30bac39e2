"""Training-time variation of rows: what changes a picture without making or hiding a forgery."""

from typing import Any

import tensorflow as tf


def augment_images(rows: Any) -> Any:
    """uint8 [B, H, W, 3] → same: turned, mirrored, colours exchanged, tone changed, per row."""
    return _varied(rows, axes=(1, 2))


def augment_clips(rows: Any) -> Any:
    """uint8 [B, T, H, W, 3] → same: as `augment_images`, alike for all frames of a clip."""
    return _reversed_in_time(_varied(rows, axes=(2, 3)))


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


def _reversed_in_time(clips: Any) -> Any:
    return tf.where(_coin(clips), tf.reverse(clips, [1]), clips)


def _coin(rows: Any, chance: float = 0.5) -> Any:
    return tf.random.uniform(_per_row(rows)) < chance


def _per_row(rows: Any) -> Any:
    return tf.concat([tf.shape(rows)[:1], tf.ones([rows.shape.rank - 1], tf.int32)], 0)
