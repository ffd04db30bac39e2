from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from training.batches import predict_logits, training_batches, validation_batches
from training.errors import DataError, OtherTraining
from training.fit import fit, make_deterministic, phases
from training.models.image import build_image_model
from training.rows import UNCLEAR, RowTable
from training.sample import Sample, Split
from training.settings import FitSettings

SETTINGS = FitSettings(backbone="tiny", image_size=32, epochs=2, batch_size=8, patience=2).resolved("image")


def _table(count: int = 32, size: int = 32, visible: bool = True) -> RowTable:
    """One row per file; fakes are noisier."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    values = random.normal(128, 1, (count, size, size, 3))
    values += random.normal(0, 1, values.shape) * (20 * labels * visible)[:, None, None, None]
    shares: dict[Split, int] = {"train": count // 2, "val": count // 4, "test": count // 4}
    splits = [split for split, share in shares.items() for _ in range(share)]
    return RowTable(
        values=np.clip(values, 0, 255).astype(np.uint8),
        labels=labels.astype(np.int8),
        starts=np.arange(count + 1),
        samples=[
            Sample(f"{index}.png", "image", int(labels[index]), split, f"g{index // 2}")
            for index, split in enumerate(splits)
        ],
        rejected=[],
        data_hash="",
    )


def _weights_after_fit(seed: int, folder: Path) -> list[NDArray[np.float32]]:
    make_deterministic(seed)
    model = build_image_model("tiny", 32, 32, "none")
    settings = SETTINGS.model_copy(update={"seed": seed, "epochs": 1})
    fit(model, _table(), settings, folder / f"best{seed}.keras", folder / f"final{seed}.keras")
    return [np.asarray(weight) for weight in model.get_weights()]


def test_the_same_seed_gives_the_same_weights_and_another_others(tmp_path: Path) -> None:
    first, again, other = (_weights_after_fit(seed, tmp_path) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


class _Killed(Exception):
    pass


def test_an_interrupted_run_goes_on_to_the_same_weights_and_history(tmp_path: Path) -> None:
    """Phases of one and three epochs of two steps; killed in the middle of the second phase."""
    settings = SETTINGS.model_copy(update={"backbone": "efficientnetb0", "weights": "given", "epochs": 4})

    def run(folder: Path, killed_at: int | None) -> tuple[list[NDArray[np.float32]], dict[str, list[float]]]:
        folder.mkdir(exist_ok=True)
        make_deterministic(5)
        model = build_image_model("tiny", 32, 32, "none")
        seen = 0

        def note(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
            nonlocal seen
            seen += 1
            if seen == killed_at:
                raise _Killed
            return values

        def augment(values: tf.Tensor) -> tf.Tensor:
            noted = tf.ensure_shape(tf.numpy_function(note, [values], tf.uint8), values.shape)
            return tf.where(tf.random.uniform([tf.shape(values)[0], 1, 1, 1]) < 0.5, noted, 255 - noted)

        history = fit(model, _table(), settings, folder / "best.keras", folder / "final.keras", augment)
        final = keras.saving.load_model(folder / "final.keras", compile=False)
        return [*map(np.asarray, (*model.get_weights(), *final.get_weights()))], history

    weights, history = run(tmp_path / "whole", None)
    assert len(history["loss"]) == 4
    with pytest.raises(tf.errors.OpError):
        run(tmp_path / "killed", 6)
    resumed_weights, resumed_history = run(tmp_path / "killed", None)
    assert resumed_history == history
    assert all(np.array_equal(a, b) for a, b in zip(weights, resumed_weights, strict=True))


@pytest.mark.parametrize("changed", ["settings", "data"])
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, changed: str) -> None:
    best, final = tmp_path / "best.keras", tmp_path / "final.keras"
    one_epoch = SETTINGS.model_copy(update={"epochs": 1})
    fit(build_image_model("tiny", 32, 32, "none"), _table(), one_epoch, best, final)
    settings = SETTINGS if changed == "settings" else one_epoch
    table = replace(_table(), data_hash="other") if changed == "data" else _table()
    with pytest.raises(OtherTraining, match="epochs 1 → 2" if changed == "settings" else "data  → other"):
        fit(build_image_model("tiny", 32, 32, "none"), table, settings, best, final)


def test_it_stops_when_validation_gets_no_better(tmp_path: Path) -> None:
    """Nothing is there to be learned, and the learning rate so small that the scores stay in order."""
    make_deterministic(6)
    settings = SETTINGS.model_copy(update={"epochs": 9, "patience": 2, "learning_rate": 1e-12})
    model = build_image_model("efficientnetb0", 32, 32, "none")
    settings = settings.model_copy(update={"fine_tune": False, "weights": "given"})
    history = fit(model, _table(16), settings, tmp_path / "best.keras", tmp_path / "final.keras")
    assert len(history["val_auc"]) == 3


def test_it_learns_and_leaves_the_best_epoch_in_the_model_and_the_file(tmp_path: Path) -> None:
    make_deterministic(3)
    model = build_image_model("tiny", 32, 32, "none")
    table = _table(64)
    best, final = tmp_path / "best.keras", tmp_path / "final.keras"
    settings = SETTINGS.model_copy(update={"epochs": 8, "patience": 8})
    history = fit(model, table, settings, best, final)
    assert max(history["val_auc"]) > 0.9
    assert len(history["loss"]) == 8
    rows = table.rows(table.files("test"))
    logits = predict_logits(model, table, rows)
    loaded = keras.saving.load_model(best, compile=False)
    assert set(loaded.output) == {"logit", "heatmap"}
    assert np.array_equal(predict_logits(loaded, table, rows), logits)
    assert final.is_file()


def test_a_pretrained_backbone_stays_as_it_is_without_fine_tuning(tmp_path: Path) -> None:
    make_deterministic(4)
    model = build_image_model("efficientnetb0", 32, 32, "none")
    backbone = model.get_layer("backbone")
    before = [np.asarray(weight) for weight in backbone.get_weights()]
    head = np.asarray(model.get_layer("activation_map").get_weights()[0])
    settings = SETTINGS.model_copy(
        update={"fine_tune": False, "backbone": "efficientnetb0", "weights": "imagenet"}
    )
    fit(model, _table(16), settings, tmp_path / "best.keras", tmp_path / "final.keras")
    assert all(np.array_equal(a, b) for a, b in zip(before, backbone.get_weights(), strict=True))
    assert not np.array_equal(head, model.get_layer("activation_map").get_weights()[0])


def test_a_pretrained_model_learns_its_head_first_and_more_gently_afterwards() -> None:
    settings = FitSettings(backbone="resnet50v2", epochs=9, learning_rate=1e-3)
    head, tuning = phases(settings.resolved("image"))
    assert (head.backbone_trainable, tuning.backbone_trainable) == (False, True)
    assert head.epochs + tuning.epochs == 9
    assert tuning.learning_rate == pytest.approx(head.learning_rate / 10)
    assert [phase.backbone_trainable for phase in phases(settings.resolved("audio"))] == [True]
    assert [phase.backbone_trainable for phase in phases(SETTINGS)] == [True]


def test_classes_weigh_the_same_and_augmentation_is_applied() -> None:
    table = _table()
    rows = np.array([0, 2, 4, 1])
    batches = training_batches(table, rows, 4, seed=(0,), augment=lambda values: values * 0)
    values, labels, weights = next(iter(batches))
    labels, weights = np.asarray(labels), np.asarray(weights)
    assert not np.asarray(values).any()
    assert weights[labels == 1].sum() == pytest.approx(weights[labels == 0].sum())
    assert weights.mean() == pytest.approx(1)


def test_logits_come_in_the_order_that_was_asked_for() -> None:
    model = build_image_model("tiny", 32, 32, "none")
    table = _table()
    forward = predict_logits(model, table, np.arange(9), batch_size=4)
    backward = predict_logits(model, table, np.arange(9)[::-1], batch_size=4)
    assert forward == pytest.approx(backward[::-1], abs=1e-5)
    assert len(predict_logits(model, table, np.zeros(0, np.int64))) == 0


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_of_one_kind_is_refused(tmp_path: Path, split: Split) -> None:
    table = _table()
    real_only = [sample for sample in table.samples if sample.split != split or sample.label == 0]
    kept = np.array([table.samples.index(sample) for sample in real_only])
    lacking = RowTable(
        table.values[kept], table.labels[kept], np.arange(len(kept) + 1), real_only, [], table.data_hash
    )
    model = build_image_model("tiny", 32, 32, "none")
    with pytest.raises(DataError, match=f"the {split} split needs both real and fake"):
        fit(model, lacking, SETTINGS, tmp_path / "best.keras", tmp_path / "final.keras")


def test_unclear_rows_are_not_learned_from(tmp_path: Path) -> None:
    table = _table(16)
    unclear = table.labels.copy()
    unclear[table.files("train")[2:]] = UNCLEAR
    partly = RowTable(table.values, unclear, table.starts, table.samples, [], "")
    seen: list[NDArray[np.uint8]] = []

    def note(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        seen.extend(values)
        return values

    def noted(values: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(note, [values], tf.uint8), values.shape)

    model = build_image_model("tiny", 32, 32, "none")
    settings = SETTINGS.model_copy(update={"epochs": 1})
    fit(model, partly, settings, tmp_path / "best.keras", tmp_path / "final.keras", noted)
    expected = table.values[table.files("train")[:2]]
    assert np.array_equal(np.sort(np.array(seen), axis=0), np.sort(expected, axis=0))


def test_only_training_rows_are_perturbed_by_number_and_epoch() -> None:
    table, rows = _table(), np.array([5, 0, 3, 8])
    seen: list[tuple[list[int], tuple[int, ...]]] = []

    def black(
        values: NDArray[np.uint8], numbers: NDArray[np.int64], seed: Sequence[int]
    ) -> NDArray[np.uint8]:
        seen.append((numbers.tolist(), tuple(seed)))
        return values * 0

    batches = training_batches(table, rows, 4, (7, 0, 2), lambda values: values, black)
    assert not np.asarray(next(iter(batches))[0]).any()
    assert [(sorted(numbers), seed) for numbers, seed in seen] == [([0, 3, 5, 8], (7, 0, 2))]
    values, _ = next(iter(validation_batches(table, rows, 4)))
    assert np.array_equal(values, table.values[rows])
