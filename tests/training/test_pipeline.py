"""What is trained, calibrated and measured on what."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console

from training.augment import augment_clips, augment_images
from training.batches import Augment
from training.calibrate import calibrate
from training.fit import Fitted
from training.pipeline import train_modality
from training.record import TrainingRecord
from training.rows import RowTable
from training.sample import SPLITS, Sample
from training.settings import FitSettings, Modality
from training.steps import Speed

LABELS = np.tile([0, 1], 90)
# Validation is three times as far apart as training, and testing the wrong way round.
LOGITS = np.repeat([1.0, 3.0, -1.0], 60) * (2 * LABELS - 1 + np.random.default_rng(0).normal(0, 1, 180))


def _trained(
    monkeypatch: pytest.MonkeyPatch, folder: Path, modality: Modality, **settings: Any
) -> tuple[TrainingRecord, dict[str, Any]]:
    """The record of a model whose rows are its logits, and what `fit` was given."""
    samples = [
        Sample(f"{n}", modality, int(label), SPLITS[n // 60], f"{n}") for n, label in enumerate(LABELS)
    ]
    cells = np.zeros((180, 1, 1), np.uint8)
    values = LOGITS.astype(np.float32)[:, None]
    table = RowTable(values, LABELS.astype(np.int8), np.arange(181), samples, [], "", cells)
    given: dict[str, Any] = {}

    def fit(
        build: Any, table: RowTable, settings: FitSettings, best: Path, final: Path, **more: Any
    ) -> Fitted:
        given.update(more, cells=table.cells)
        best.with_suffix(".checkpoint.npz").touch()
        value = keras.Input((1,))
        model = keras.Model(value, {"logit": keras.layers.Reshape(())(value)})
        return Fitted(model, {"loss": [1.0], "auc": [0.5], "val_loss": [1.0], "val_auc": [0.5]}, Speed())

    monkeypatch.setattr("training.pipeline.load_rows", lambda *_: table)
    monkeypatch.setattr("training.pipeline.fit", fit)
    wanted = FitSettings(backbone="tiny", **settings)
    record = train_modality(modality, folder, samples, folder / "models", wanted, 1, Console(quiet=True))
    assert record is not None
    return record, given


def test_a_model_is_calibrated_on_validation_and_measured_on_test_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record, _ = _trained(monkeypatch, tmp_path, "image")
    on_validation = calibrate(LOGITS[60:120], np.arange(60), LABELS[60:120])
    assert record.branch["temperature"] == pytest.approx(on_validation.temperature, rel=1e-3)
    auc, *_ = record.metrics["test"]["image"]["total"]["by_file"]["auc"]
    assert auc < 0.2


@pytest.mark.parametrize(
    ("modality", "settings", "augment"),
    [
        ("image", {}, augment_images),
        ("image", {"augment_crop": 0}, augment_images),
        ("image", {"augment_share": 0.0}, augment_images),
        ("video", {}, augment_clips),
        ("audio", {}, None),
    ],
)
def test_rows_are_augmented_as_their_kind_bears_and_cells_learned_unless_rows_are_cropped_away_from_them(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    modality: Modality,
    settings: dict[str, Any],
    augment: Augment | None,
) -> None:
    _, given = _trained(monkeypatch, tmp_path, modality, **settings)
    assert given["augment"] is augment
    assert (given["perturb"] is None) == ("augment_share" in settings)
    assert (given["cells"] is not None) == bool(settings)
