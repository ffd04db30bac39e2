"""Training one model on the rows of one modality."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from training.batches import Augment, training_batches, validation_batches
from training.checkpoint import Progress, read_checkpoint, restore, run_identity, save_checkpoint, save_model
from training.errors import DataError
from training.models.backbone import set_backbone_trainable
from training.perturb.rows import Perturb
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
    on_epoch: Callable[[dict[str, list[float]]], None] | None = None,
    perturb: Perturb | None = None,
) -> dict[str, list[float]]:
    """Trains `model` in place and leaves it with the weights of its best epoch.

    A run with the same settings and data that was interrupted, at any moment, goes on after its last
    whole epoch, with the result that it would have had.

    Args:
        model: rows → {"logit": [B], ...}; only the logit is trained.
        settings: resolved for the modality.
        best_file, final_file: where the model of the best validation AUC and the last one go.
        augment: a batch of training rows → one of the same shape and dtype.
        on_epoch: told the history after every epoch.
        perturb: what training rows go through before they are augmented.

    Returns:
        Metrics per epoch over all phases.

    Raises:
        DataError: the training or validation split lacks real or fake rows.
        OtherTraining: what was interrupted here had other settings or data.
    """
    training, validation = _labelled(table, "train"), _labelled(table, "val")
    # Sharing layers and weights with `model`: Keras wants a loss for every output it knows of.
    scorer = keras.Model(model.input, model.output["logit"])
    run = run_identity(settings.model_dump(mode="json"), table.data_hash)
    progress, values = read_checkpoint(checkpoint_of(best_file), run) or (Progress(run=run), None)
    for number, phase in enumerate(phases(settings)):
        if number < progress.phase:
            continue
        set_backbone_trainable(model, phase.backbone_trainable)
        steps = -(-len(training) // settings.batch_size)
        _compile(scorer, phase, steps, settings.label_smoothing)
        if values is not None:
            restore(scorer, values)
            values = None
        with _progress_bar() as bar:
            shown = _ShowProgress(bar, phase, steps, progress.epoch)
            while progress.epoch < phase.epochs and progress.stale < settings.patience:
                seed = (settings.seed, progress.phase, progress.epoch)
                logs = _train_epoch(
                    scorer,
                    training_batches(table, training, settings.batch_size, seed, augment, perturb),
                    validation_batches(table, validation, settings.batch_size),
                    progress.epoch,
                    shown,
                )
                if logs["val_auc"] > progress.best:
                    save_model(best_file, model)
                progress = progress.after_epoch(logs)
                if on_epoch is not None:
                    on_epoch(progress.history)
                # Last: a run that is killed before this line does the epoch again, all of it.
                save_checkpoint(checkpoint_of(best_file), progress, scorer)
        progress = progress.after_phase()
    save_model(final_file, model)
    model.load_weights(best_file)
    return progress.history


def checkpoint_of(best_file: Path) -> Path:
    """Where the state of an unfinished training lies; to be deleted when all is done."""
    return best_file.with_suffix(".checkpoint.npz")


def _train_epoch(
    scorer: keras.Model,
    batches: tf.data.Dataset,
    validation: tf.data.Dataset,
    epoch: int,
    shown: keras.callbacks.Callback,
) -> dict[str, float]:
    run = scorer.fit(
        batches,
        validation_data=validation,
        initial_epoch=epoch,
        epochs=epoch + 1,
        callbacks=[shown],
        shuffle=False,  # the batches are
        verbose=0,
    )
    return {name: float(values[-1]) for name, values in run.history.items()}


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


class _ShowProgress(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, bar: Bar, phase: Phase, steps: int, epochs_done: int) -> None:
        super().__init__()
        self._bar = bar
        self._task = bar.add_task(
            phase.name, total=phase.epochs * steps, completed=epochs_done * steps, metrics=""
        )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002  Keras's signature
        self._bar.advance(self._task)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        shown = {name: logs[name] for name in ("loss", "val_loss", "val_auc")}
        text = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
        self._bar.update(self._task, metrics=f"epoch {epoch + 1}  {text}")


def _progress_bar() -> Bar:
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}"),
    )
