"""Training one model on the rows of one modality."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.batches import Augment, training_batches, validation_batches
from training.errors import DataError
from training.models.backbone import set_backbone_trainable
from training.rows import UNCLEAR, RowTable
from training.sample import Split
from training.settings import FitSettings

_WARM_UP_SHARE = 0.05
_WEIGHT_DECAY = 1e-4


@dataclass(frozen=True, slots=True)
class Phase:
    """One run of the optimiser over the training rows."""

    name: str
    backbone_trainable: bool
    epochs: int
    learning_rate: float


def phases(settings: FitSettings) -> list[Phase]:
    """A pretrained backbone is frozen while its head learns, then tuned gently; others train at once.

    Args:
        settings: resolved for a modality.
    """
    epochs, rate = settings.epochs, settings.learning_rate
    if epochs is None or rate is None:
        raise ValueError("the settings must be resolved for a modality first")
    if settings.weights == "none":
        return [Phase("training", True, epochs, rate)]
    if not settings.fine_tune or epochs == 1:
        return [Phase("head", False, epochs, rate)]
    head = max(1, epochs // 3)
    return [Phase("head", False, head, rate), Phase("fine-tuning", True, epochs - head, rate / 10)]


def make_deterministic(seed: int) -> None:
    """The same seed on the same machine then gives the same weights. Affects the whole process."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    model: keras.Model,
    table: RowTable,
    settings: FitSettings,
    best_file: Path,
    final_file: Path,
    augment: Augment | None = None,
) -> dict[str, list[float]]:
    """Trains `model` in place and leaves it with the weights of its best epoch.

    Args:
        model: rows → {"logit": [B], ...}; only the logit is trained.
        settings: resolved for the modality.
        best_file, final_file: where the model of the best validation AUC and the last one go.
        augment: a batch of training rows → one of the same shape and dtype.

    Returns:
        Metrics per epoch over all phases.

    Raises:
        DataError: the training or validation split lacks real or fake rows.
    """
    training, validation = _labelled(table, "train"), _labelled(table, "val")
    # Sharing layers and weights with `model`: Keras wants a loss for every output it knows of.
    scorer = keras.Model(model.input, model.output["logit"])
    keep_best = _KeepBest(model, best_file)
    history: dict[str, list[float]] = {}
    for phase in phases(settings):
        set_backbone_trainable(model, phase.backbone_trainable)
        batches = training_batches(table, training, settings.batch_size, settings.seed, augment)
        _compile(scorer, phase, len(batches), settings.label_smoothing)
        with _progress_bar() as progress:
            run = scorer.fit(
                batches,
                validation_data=validation_batches(table, validation, settings.batch_size),
                epochs=phase.epochs,
                callbacks=[
                    keep_best,
                    keras.callbacks.EarlyStopping("val_auc", patience=settings.patience, mode="max"),
                    _ShowProgress(progress, phase, len(batches)),
                ],
                shuffle=False,  # the batches are
                verbose=0,
            )
        for name, values in run.history.items():
            history.setdefault(name, []).extend(float(value) for value in values)
    model.save(final_file)
    model.load_weights(best_file)
    return history


def _labelled(table: RowTable, split: Split) -> NDArray[np.int64]:
    files = table.files(split)
    # Of files, not of rows: a fake photo's crops may show nothing forged and count as real.
    if {table.samples[file].label for file in files} != {0, 1}:
        raise DataError(f"the {split} split needs both real and fake files that can be decoded")
    rows = table.rows(files)
    clear: NDArray[np.int64] = rows[table.labels[rows] != UNCLEAR]
    return clear


def _compile(scorer: keras.Model, phase: Phase, steps_per_epoch: int, label_smoothing: float) -> None:
    steps = phase.epochs * steps_per_epoch
    warm_up = round(_WARM_UP_SHARE * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        phase.learning_rate / 10,
        decay_steps=max(1, steps - warm_up),
        warmup_target=phase.learning_rate,
        warmup_steps=warm_up,
    )
    scorer.compile(
        keras.optimizers.AdamW(schedule, weight_decay=_WEIGHT_DECAY),
        keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing),
        weighted_metrics=[],
        metrics=[keras.metrics.AUC(from_logits=True, name="auc")],
    )


class _KeepBest(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves the whole model whenever validation AUC improves, over all phases."""

    def __init__(self, whole: keras.Model, file: Path) -> None:
        super().__init__()
        self._whole = whole
        self._file = file
        self._best = -np.inf

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002  Keras's signature
        auc = logs["val_auc"]
        if auc > self._best:
            self._best = auc
            self._whole.save(self._file)


class _ShowProgress(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, progress: Progress, phase: Phase, steps: int) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task(phase.name, total=phase.epochs * steps, metrics="")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002  Keras's signature
        self._progress.advance(self._task)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        shown = {name: logs[name] for name in ("loss", "val_loss", "val_auc")}
        text = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
        self._progress.update(self._task, metrics=f"epoch {epoch + 1}  {text}")


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}"),
    )
