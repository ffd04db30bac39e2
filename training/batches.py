"""Rows → batches, read from disk beside the training step."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.augment import turn_cells
from training.perturb.rows import Perturb
from training.rows import RowTable

Augment = Callable[[Any, Any], Any]
"""A batch of training rows, and int64 [2] that decides the chance in it → one of the same shape and dtype."""


def training_batches(
    table: RowTable,
    rows: NDArray[np.int64],
    batch_size: int,
    seed: Sequence[int],
    augment: Augment | None,
    perturb: Perturb | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> Any:
    """(values, targets, weights) of one epoch; the weights make both classes count the same.

    The targets are labels; if the table has cells, {"logit": labels, "heatmap": cells}, like the weights.

    Args:
        batch_size: of all replicas together, whose number divides it.
        seed: decides the order, the augmentation and what is perturbed; give every epoch its own.
        strategy: whose replicas share each batch. Several need whole batches, so the rows that an
            epoch begins with fill up its last one. A worker reads its own part of the rows only.
    """
    strategy = strategy or tf.distribute.get_strategy()
    order = np.random.default_rng(seed).permutation(rows)
    if strategy.num_replicas_in_sync > 1:
        order = np.resize(order, (steps_per_epoch(len(rows), batch_size), batch_size)).ravel()
    weights = _class_weights(table.labels[rows])

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        worker, workers = context.input_pipeline_id, context.num_input_pipelines
        mine = order.reshape(-1, workers, batch_size // workers)[:, worker].ravel() if workers > 1 else order
        size = batch_size // strategy.num_replicas_in_sync
        both = (mine, _targets(table, mine), _alike(table, weights[table.labels[mine]]))
        batches = tf.data.Dataset.from_tensor_slices(both).batch(size)
        # Seeds per batch: batches may then be made at the same time, in any order, and be the same.
        chances = np.random.default_rng((*seed, worker)).integers(2**31, size=(len(batches), 2))
        return (
            tf.data.Dataset.zip(batches, tf.data.Dataset.from_tensor_slices(chances))
            .map(read, num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )

    def read(batch: tuple[Any, Any, Any], chance: Any) -> tuple[Any, Any, Any]:
        index, target, weight = batch
        values = _values(table, index, perturb, seed)
        if augment is None:
            return values, target, weight
        if table.cells is not None:
            target = {**target, "heatmap": turn_cells(target["heatmap"], chance)}
        return augment(values, chance), target, weight

    return strategy.distribute_datasets_from_function(of_worker)


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Batches that hold all rows; the last may be a smaller one."""
    return -(-rows // batch_size)


def _class_weights(labels: NDArray[np.int8]) -> NDArray[np.float32]:
    """What a real and what a fake row counts: both classes the same, a row 1 on average."""
    fakes = labels.mean()
    return np.asarray([0.5 / (1 - fakes), 0.5 / fakes], np.float32)


def validation_batches(
    table: RowTable,
    rows: NDArray[np.int64],
    batch_size: int,
    strategy: tf.distribute.Strategy | None = None,
) -> Any:
    """(values, targets) in the order of `rows`.

    Args:
        rows: as many as there are replicas, at least.
        strategy: whose replicas share each batch, about evenly. None goes without a row, which not all
            layers could do with: where the last batch is small, the others are smaller too.
    """
    strategy = strategy or tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    steps = min(steps_per_epoch(len(rows), batch_size), len(rows) // replicas)
    shares = [(share, _targets(table, share)) for share in np.array_split(rows, steps * replicas)]
    spec = tf.nest.map_structure(lambda of: tf.TensorSpec((None, *of.shape[1:]), of.dtype), shares[0])

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        worker, workers = context.input_pipeline_id, context.num_input_pipelines
        mine = [share for n, share in enumerate(shares) if n * workers // replicas % workers == worker]
        indices = tf.data.Dataset.from_generator(lambda: iter(mine), output_signature=spec)
        return indices.map(lambda index, target: (_values(table, index), target)).prefetch(2)

    return strategy.distribute_datasets_from_function(of_worker)


def _targets(table: RowTable, rows: NDArray[np.int64]) -> Any:
    labels = table.labels[rows].astype(np.float32)
    return labels if table.cells is None else {"logit": labels, "heatmap": table.cells[rows]}


def _alike(table: RowTable, weights: NDArray[np.float32]) -> Any:
    return weights if table.cells is None else {"logit": weights, "heatmap": weights}


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

    # Not stateful: batches may be read at the same time.
    values = tf.numpy_function(read, [index], table.values.dtype, stateful=False)
    return tf.ensure_shape(values, (None, *table.values.shape[1:]))
