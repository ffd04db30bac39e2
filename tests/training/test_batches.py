from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.image_table import image_table
from training.augment import augment_images
from training.batches import steps_per_epoch, training_batches, validation_batches
from training.masks import FORGED


@pytest.mark.parametrize("masked", [False, True])
def test_classes_weigh_the_same_and_augmentation_is_applied(masked: bool) -> None:
    table = replace(image_table(), cells=np.zeros((32, 2, 2), np.uint8) if masked else None)
    rows = np.array([0, 2, 4, 1])
    batches = training_batches(table, rows, 4, seed=(0,), augment=lambda values, _: values * 0)
    values, labels, weights = next(iter(batches))
    if masked:
        assert np.array_equal(weights["heatmap"], weights["logit"])
        labels, weights = labels["logit"], weights["logit"]
    labels, weights = np.asarray(labels), np.asarray(weights)
    assert not np.asarray(values).any()
    assert weights[labels == 1].sum() == pytest.approx(weights[labels == 0].sum())
    assert weights.mean() == pytest.approx(1)


def test_every_epoch_has_its_own_order_and_augmentation() -> None:
    table, rows = image_table(), np.arange(16)
    epochs = []
    for epoch in (0, 1):
        batches = list(training_batches(table, rows, 6, (7, 0, epoch), augment=lambda *both: both))
        assert len(batches) == steps_per_epoch(16, 6) == 3
        values, chances = (np.concatenate(part) for part in zip(*(both for both, *_ in batches), strict=True))
        epochs.append((values, chances))
        assert np.array_equal(np.unique(values, axis=0), np.unique(table.values[rows], axis=0))
    for first, second in zip(*epochs, strict=True):
        assert not np.array_equal(first, second)


def test_each_validation_row_is_judged_once() -> None:
    table, rows = image_table(), np.array([9, 3, 4, 30, 11, 0, 1])
    batches = list(validation_batches(table, rows, 3))
    assert len(batches) == 3
    for number, of_rows in enumerate((table.values, table.labels)):
        assert np.array_equal(np.concatenate([batch[number] for batch in batches]), of_rows[rows])


def test_cells_are_turned_with_their_rows() -> None:
    cells = np.random.default_rng(0).choice([0, FORGED], (32, 2, 2)).astype(np.uint8)
    values = np.repeat(np.where(cells, 200, 50).repeat(16, 1).repeat(16, 2)[..., None], 3, -1)
    table = replace(image_table(), values=values.astype(np.uint8), cells=cells)
    values, targets, _ = next(iter(training_batches(table, np.arange(32), 32, (0,), augment_images)))
    seen = np.asarray(values)[:, 8::16, 8::16, 1] > 110
    assert np.array_equal(seen, np.asarray(targets["heatmap"]) == FORGED)


def test_only_training_rows_are_perturbed_by_number_and_epoch() -> None:
    table, rows = image_table(), np.array([5, 0, 3, 8])
    seen: list[tuple[list[int], tuple[int, ...]]] = []

    def black(
        values: NDArray[np.uint8], numbers: NDArray[np.int64], seed: Sequence[int]
    ) -> NDArray[np.uint8]:
        seen.append((numbers.tolist(), tuple(seed)))
        return values * 0

    batches = training_batches(table, rows, 4, (7, 0, 2), None, black)
    assert not np.asarray(next(iter(batches))[0]).any()
    assert [(sorted(numbers), seed) for numbers, seed in seen] == [([0, 3, 5, 8], (7, 0, 2))]
    values, _ = next(iter(validation_batches(table, rows, 4)))
    assert np.array_equal(values, table.values[rows])
