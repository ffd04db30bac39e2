"""Rows → batches, read from disk beside the training step."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.perturb.rows import Perturb
from training.rows import RowTable

Augment = Callable[[Any], Any]


def training_batches(
    table: RowTable,
    rows: NDArray[np.int64],
    batch_size: int,
    seed: Sequence[int],
    augment: Augment | None,
    perturb: Perturb | None = None,
) -> tf.data.Dataset:
    """(values, labels, weights) of one epoch; the weights make both classes count the same.

    Args:
        seed: decides the order, the augmentation and what is perturbed; give every epoch its own.
    """
    random = np.random.default_rng(seed)
    rows = random.permutation(rows)
    # Augmentation draws from TensorFlow's global seed, from the start for every epoch, so that
    # a run which goes on after it was killed draws what it would have drawn.
    tf.random.set_seed(int(random.integers(2**31)))
    labels = table.labels[rows].astype(np.float32)
    fakes = labels.mean()
    weights = np.where(labels == 1, 0.5 / fakes, 0.5 / (1 - fakes)).astype(np.float32)
    batches = (
        tf.data.Dataset.from_tensor_slices((rows, labels, weights))
        .batch(batch_size)
        .map(lambda index, label, weight: (_values(table, index, perturb, seed), label, weight))
    )
    if augment is not None:
        batches = batches.map(lambda values, label, weight: (augment(values), label, weight))
    return batches.prefetch(2)


def validation_batches(table: RowTable, rows: NDArray[np.int64], batch_size: int) -> tf.data.Dataset:
    """(values, labels) in the order of `rows`."""
    labels = table.labels[rows].astype(np.float32)
    indices = tf.data.Dataset.from_tensor_slices((rows, labels)).batch(batch_size)
    return indices.map(lambda index, label: (_values(table, index), label)).prefetch(2)


def predict_logits(
    model: keras.Model, table: RowTable, rows: NDArray[np.int64], batch_size: int = 32
) -> NDArray[np.float32]:
    """The model's logits [len(rows)] of these rows, in their order."""
    if not len(rows):
        return np.zeros(0, np.float32)
    indices = tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)
    scorer = keras.Model(model.input, model.output["logit"])
    logits = scorer.predict(indices.map(lambda index: _values(table, index)).prefetch(2), verbose=0)
    return np.asarray(logits, np.float32)


def _values(
    table: RowTable, index: tf.Tensor, perturb: Perturb | None = None, seed: Sequence[int] = ()
) -> tf.Tensor:
    def read(rows: NDArray[np.int64]) -> NDArray[Any]:
        values = table.values[rows]
        return values if perturb is None else perturb(values, rows, seed)

    values = tf.numpy_function(read, [index], table.values.dtype)
    return tf.ensure_shape(values, (None, *table.values.shape[1:]))
