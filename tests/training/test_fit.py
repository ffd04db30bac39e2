from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from tests.training.image_table import image_table
from training.augment import augment_images
from training.batches import predict_logits, training_batches
from training.devices import make_strategy
from training.errors import DataError, Diverged, OtherTraining
from training.fit import Fitted, Phase, compile_phase, fit, phases
from training.labels import UNCLEAR
from training.masks import FORGED, UNKNOWN
from training.models.image import build_image_model
from training.rows import RowTable
from training.sample import Split
from training.settings import FitSettings

SETTINGS = FitSettings(backbone="tiny", image_size=32, epochs=2, batch_size=8, patience=2).resolved("image")


TINY = partial(build_image_model, "tiny", 32, 32, "none")


def _small() -> keras.Model:
    """As few layers as have weights, statistics and chance: compiling more takes most of a test."""
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    features = layers.Conv2D(8, 16, 16, activation="relu")(layers.Rescaling(1 / 127.5, offset=-1)(pixels))
    features = layers.SpatialDropout2D(0.2)(layers.BatchNormalization()(features))
    cells = layers.Conv2D(1, 1)(features)
    heatmap = layers.Reshape(cells.shape[1:3], name="heatmap")(cells)
    logit = layers.Reshape((), name="logit")(layers.GlobalAveragePooling2D()(cells))
    return keras.Model(pixels, {"logit": logit, "heatmap": heatmap})


def _fit(
    folder: Path, settings: FitSettings = SETTINGS, table: RowTable | None = None, **more: Any
) -> Fitted:
    folder.mkdir(exist_ok=True)
    build = more.pop("build", _small)
    return fit(build, table or image_table(), settings, folder / "best.keras", folder / "final.keras", **more)


def _weights(model: keras.Model) -> list[NDArray[np.float32]]:
    return [np.asarray(weight) for weight in model.get_weights()]


def _same(first: list[NDArray[np.float32]], second: list[NDArray[np.float32]]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_same_seed_gives_the_same_weights_and_another_others(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1})
    begun: list[list[NDArray[np.float32]]] = []

    def build() -> keras.Model:
        model = _small()
        begun.append(_weights(model))
        return model

    ended = [
        _weights(_fit(tmp_path / name, settings.model_copy(update={"seed": seed}), build=build).model)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    ]
    for first, again, other in (begun[::2], ended):
        assert _same(first, again)
        assert not _same(first, other)


class _Killed(Exception):
    pass


def test_an_interrupted_run_goes_on_to_the_same_weights_and_history(tmp_path: Path) -> None:
    """Phases of one and two epochs; interrupted in each of the two, before its checkpoint is written."""
    settings = SETTINGS.model_copy(update={"backbone": "efficientnetb0", "weights": "given", "epochs": 3})

    def kill(epochs: int, history: dict[str, list[float]]) -> None:
        if len(history["loss"]) == epochs:
            raise _Killed

    whole = _fit(tmp_path / "whole", settings, augment=augment_images)
    assert len(whole.history["loss"]) == 3
    for epochs in (2, 3):
        with pytest.raises(_Killed):
            _fit(tmp_path / "killed", settings, augment=augment_images, on_epoch=partial(kill, epochs))
    resumed = _fit(tmp_path / "killed", settings, augment=augment_images)
    assert resumed.history == whole.history
    for name in ("best", "final"):
        models = [_load(tmp_path / run / f"{name}.keras") for run in ("whole", "killed")]
        assert _same(*map(_weights, models))


def _load(file: Path) -> keras.Model:
    return keras.saving.load_model(file, compile=False)


@pytest.mark.parametrize("changed", ["settings", "data"])
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, changed: str) -> None:
    one_epoch = SETTINGS.model_copy(update={"epochs": 1})
    _fit(tmp_path, one_epoch)
    settings = SETTINGS if changed == "settings" else one_epoch
    table = replace(image_table(), data_hash="other") if changed == "data" else image_table()
    with pytest.raises(OtherTraining, match="epochs 1 → 2" if changed == "settings" else "data  → other"):
        _fit(tmp_path, settings, table)


def test_it_stops_when_validation_gets_no_better(tmp_path: Path) -> None:
    """The learning rate is so small that all scores stay in their order."""
    settings = SETTINGS.model_copy(
        update={"epochs": 9, "learning_rate": 1e-12, "weights": "given", "fine_tune": False}
    )
    history = _fit(tmp_path, settings, image_table(16), build=_untouched).history
    assert len(history["val_auc"]) == 1 + settings.patience


def _untouched() -> keras.Model:
    """Without batch statistics, which change even where weights do not."""
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    logit = layers.Reshape(())(layers.Dense(1)(layers.Flatten()(layers.Rescaling(1 / 255)(pixels))))
    return keras.Model(pixels, {"logit": logit})


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(Diverged, match="learning-rate"):
        _fit(tmp_path, settings, build=_untouched)


def test_a_last_step_that_ruins_the_model_ends_the_training(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"learning_rate": 1e30, "epochs": 1, "batch_size": 64})
    with pytest.raises(Diverged):
        _fit(tmp_path, settings)
    assert not (tmp_path / "best.keras").exists()


def test_it_learns_and_leaves_the_best_epoch_in_the_model_and_the_file(tmp_path: Path) -> None:
    table = image_table(64)
    settings = SETTINGS.model_copy(update={"epochs": 8, "patience": 8})
    fitted = _fit(tmp_path, settings, table, build=TINY)
    assert max(fitted.history["val_auc"]) > 0.9
    assert len(fitted.history["loss"]) == 8
    assert fitted.speed.rows == 8 * 32
    assert 0 < fitted.speed.waited < fitted.speed.seconds
    rows = table.rows(table.files("test"))
    logits = predict_logits(fitted.model, table, rows)
    loaded = _load(tmp_path / "best.keras")
    assert set(loaded.output) == {"logit", "heatmap"}
    assert np.array_equal(predict_logits(loaded, table, rows), logits)
    assert (tmp_path / "final.keras").is_file()


def test_mixed_precision_leaves_a_float32_model(tmp_path: Path) -> None:
    table = image_table(64)
    settings = SETTINGS.model_copy(update={"epochs": 8, "patience": 8, "mixed_precision": True})
    computed_in: set[str] = set()

    def build() -> keras.Model:
        model = TINY()
        computed_in.update(layer.compute_dtype for layer in model.layers)
        return model

    fitted = _fit(tmp_path, settings, table, build=build)
    assert computed_in == {"float16", "float32"}
    assert max(fitted.history["val_auc"]) > 0.9
    loaded = _load(tmp_path / "best.keras")
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}


def test_mirrored_over_one_device_is_as_no_strategy(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1})
    alone = _fit(tmp_path / "alone", settings, augment=augment_images)
    mirrored = make_strategy("mirrored")
    assert mirrored.num_replicas_in_sync == 1
    shared = _fit(tmp_path / "shared", settings, augment=augment_images, strategy=mirrored)
    assert shared.history["loss"] == pytest.approx(alone.history["loss"], rel=1e-4)
    for mine, theirs in zip(_weights(shared.model), _weights(alone.model), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-5)


def test_a_pretrained_backbone_stays_as_it_is_without_fine_tuning(tmp_path: Path) -> None:
    before: list[tuple[list[NDArray[np.float32]], NDArray[np.float32]]] = []

    def parts(model: keras.Model) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
        head = model.get_layer("activation_map").get_weights()[0]
        return _weights(model.get_layer("backbone")), np.asarray(head)

    def build() -> keras.Model:
        model = build_image_model("efficientnetb0", 32, 32, "none")
        before.append(parts(model))
        return model

    settings = SETTINGS.model_copy(
        update={"fine_tune": False, "backbone": "efficientnetb0", "weights": "imagenet"}
    )
    backbone, head = parts(_fit(tmp_path, settings, image_table(16), build=build).model)
    assert _same(backbone, before[0][0])
    assert not np.array_equal(head, before[0][1])


def test_a_pretrained_model_learns_its_head_first_and_more_gently_afterwards() -> None:
    settings = FitSettings(backbone="resnet50v2", epochs=9, learning_rate=1e-3)
    head, tuning = phases(settings.resolved("image"))
    assert (head.backbone_trainable, tuning.backbone_trainable) == (False, True)
    assert head.epochs + tuning.epochs == 9
    assert tuning.learning_rate == pytest.approx(head.learning_rate / 10)
    assert [phase.backbone_trainable for phase in phases(settings.resolved("audio"))] == [True]
    assert [phase.backbone_trainable for phase in phases(SETTINGS)] == [True]


def test_losses_are_of_one_epoch_and_one_split(tmp_path: Path) -> None:
    """The learning rate is so small that all epochs are the same."""
    table = image_table()
    fitted = _fit(tmp_path, SETTINGS.model_copy(update={"learning_rate": 1e-12}), table, build=_untouched)
    splits: dict[str, Split] = {"loss": "train", "val_loss": "val"}
    for name, split in splits.items():
        rows = table.rows(table.files(split))
        logits = predict_logits(fitted.model, table, rows)
        by_hand = np.mean(np.logaddexp(0, logits) - table.labels[rows] * logits)
        assert fitted.history[name] == pytest.approx([by_hand] * 2, rel=1e-4)


def test_every_epoch_of_every_phase_is_perturbed_anew(tmp_path: Path) -> None:
    seeds: list[tuple[int, ...]] = []

    def perturb(values: NDArray[np.uint8], _: NDArray[np.int64], seed: Sequence[int]) -> NDArray[np.uint8]:
        seeds.append(tuple(seed))
        return values

    settings = SETTINGS.model_copy(update={"epochs": 3, "weights": "given", "batch_size": 16})
    _fit(tmp_path, settings, build=_untouched, perturb=perturb)
    assert seeds == [(settings.seed, 0, 0), (settings.seed, 1, 0), (settings.seed, 1, 1)]


@pytest.mark.parametrize("smoothing", [0, 0.2])
def test_the_loss_weighs_rows_one_by_one(smoothing: float) -> None:
    table = image_table()
    rows = np.array([0, 2, 4, 1])
    values, labels, weights = next(iter(training_batches(table, rows, 4, (0,), None)))
    model = _untouched()
    scorer = keras.Model(model.input, model.output["logit"])
    settings = SETTINGS.model_copy(update={"label_smoothing": smoothing})
    compile_phase(scorer, Phase("training", True, 1, 1e-3), 1, settings)
    logits, truth = np.asarray(scorer(values)), np.asarray(labels) * (1 - smoothing) + smoothing / 2
    by_hand = np.asarray(weights) * (np.logaddexp(0, logits) - truth * logits)
    loss = float(scorer.compute_loss(values, labels, logits, weights))
    assert loss == pytest.approx(by_hand.mean(), rel=1e-5)


def test_the_learning_rate_rises_to_its_peak_and_falls_until_the_phase_ends() -> None:
    model = _untouched()
    scorer = keras.Model(model.input, model.output["logit"])
    compile_phase(scorer, Phase("training", True, 4, 1e-3), 50, SETTINGS)
    rates = []
    for step in (0, 10, 105, 200):
        scorer.optimizer.iterations.assign(step)
        rates.append(float(scorer.optimizer.learning_rate))
    assert rates == pytest.approx([1e-4, 1e-3, 5e-4, 0], abs=1e-8)


def test_the_epoch_of_the_best_validation_auc_is_kept_whatever_training_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([{"auc": 0.5, "val_auc": 0.6}, {"auc": 0.6, "val_auc": 0.9}, {"auc": 0.9, "val_auc": 0.7}])
    epochs: list[list[NDArray[np.float32]]] = []

    def measured(scorer: keras.Model, *_: Any) -> dict[str, float]:
        epochs.append(_weights(scorer))
        return {"loss": 1.0, "val_loss": 1.0, **next(told)}

    monkeypatch.setattr("training.fit._measured", measured)
    fitted = _fit(tmp_path, SETTINGS.model_copy(update={"epochs": 3}), build=_untouched)
    assert _same(_weights(fitted.model), epochs[1])
    assert _same(_weights(_load(tmp_path / "best.keras")), epochs[1])
    assert _same(_weights(_load(tmp_path / "final.keras")), epochs[2])
    assert not _same(epochs[1], epochs[2])


def test_cells_are_learned_beside_the_labels(tmp_path: Path) -> None:
    table = image_table()
    cells = np.where(table.labels[:, None, None] == 1, FORGED, UNKNOWN) * np.ones((1, 2, 2))
    fitted = _fit(tmp_path, table=replace(table, cells=cells.astype(np.uint8)), augment=augment_images)
    for of in ("", "val_"):
        loss, label, cell = (fitted.history[of + name] for name in ("loss", "logit_loss", "heatmap_loss"))
        np.testing.assert_allclose(loss, np.add(label, cell), rtol=1e-4)
        assert min(cell) > 0
        assert len(fitted.history[f"{of}auc"]) == 2


def test_logits_come_in_the_order_that_was_asked_for() -> None:
    model, table = _small(), image_table()
    forward = predict_logits(model, table, np.arange(9), batch_size=4)
    backward = predict_logits(model, table, np.arange(9)[::-1], batch_size=4)
    assert forward == pytest.approx(backward[::-1], abs=1e-5)
    assert len(predict_logits(model, table, np.zeros(0, np.int64))) == 0


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_of_one_kind_is_refused(tmp_path: Path, split: Split) -> None:
    table = image_table()
    real_only = [sample for sample in table.samples if sample.split != split or sample.label == 0]
    kept = np.array([table.samples.index(sample) for sample in real_only])
    lacking = RowTable(
        table.values[kept], table.labels[kept], np.arange(len(kept) + 1), real_only, [], table.data_hash
    )
    with pytest.raises(DataError, match=f"the {split} split needs both real and fake"):
        _fit(tmp_path, table=lacking)


@pytest.mark.parametrize(
    ("devices", "batch_size", "message"),
    [(16, 16, "8 rows to validate on are too few for 16"), (3, 8, "--batch-size 8 cannot be shared")],
)
def test_what_devices_cannot_share_is_refused(
    tmp_path: Path, devices: int, batch_size: int, message: str
) -> None:
    strategy = SimpleNamespace(num_replicas_in_sync=devices, cluster_resolver=None)
    with pytest.raises(DataError, match=message):
        _fit(tmp_path, SETTINGS.model_copy(update={"batch_size": batch_size}), strategy=strategy)


@pytest.mark.parametrize("label", [0, UNCLEAR])
@pytest.mark.parametrize("split", ["train", "val"])
def test_fakes_that_show_too_little_of_it_are_refused(tmp_path: Path, split: Split, label: int) -> None:
    table = image_table(16)
    table.labels[[file for file in table.files(split) if table.samples[file].label]] = label
    with pytest.raises(DataError, match=f"no row of the {split} split"):
        _fit(tmp_path, table=table)


def test_unclear_rows_are_not_learned_from(tmp_path: Path) -> None:
    table = image_table(16)
    unclear = table.labels.copy()
    unclear[table.files("train")[2:]] = UNCLEAR
    partly = replace(table, labels=unclear)
    seen: list[NDArray[np.uint8]] = []

    def note(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        seen.extend(values)
        return values

    def noted(values: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(note, [values], tf.uint8), values.shape)

    _fit(tmp_path, SETTINGS.model_copy(update={"epochs": 1}), partly, augment=noted)
    expected = table.values[table.files("train")[:2]]
    assert np.array_equal(np.sort(np.array(seen), axis=0), np.sort(expected, axis=0))
