"""Training one model on the rows of one modality."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from training.batches import Augment, steps_per_epoch, training_batches, validation_batches
from training.cell_loss import CellLoss
from training.checkpoint import Progress, read_checkpoint, restore, run_identity, save_checkpoint, save_model
from training.devices import is_chief, make_deterministic, precision
from training.errors import DataError, Diverged
from training.labels import UNCLEAR
from training.logit_auc import LogitAUC
from training.models.backbone import set_backbone_trainable
from training.perturb.rows import Perturb
from training.rows import RowTable
from training.sample import Split
from training.settings import FitSettings
from training.steps import Speed, Step, make_step, run_steps

_WARM_UP_SHARE = 0.05
_WEIGHT_DECAY = 1e-4
_CELLS = 1.0
"""Weight of the loss of cells, beside that of the logit."""


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


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model.

    Attributes:
        model: of the best epoch, in float32 on one device; in the chief of several workers only.
        history: metrics per epoch over all phases.
        speed: of all training steps.
    """

    model: keras.Model
    history: dict[str, list[float]]
    speed: Speed


def fit(
    build: Callable[[], keras.Model],
    table: RowTable,
    settings: FitSettings,
    best_file: Path,
    final_file: Path,
    augment: Augment | None = None,
    on_epoch: Callable[[dict[str, list[float]]], None] | None = None,
    perturb: Perturb | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> Fitted:
    """Trains the model of one modality.

    A run with the same settings and data that was interrupted, at any moment, goes on after its last
    whole epoch, with the result that it would have had.

    Args:
        build: makes the model: rows → {"logit": [B], ...}; only the logit is trained.
        settings: resolved for the modality.
        best_file, final_file: where the model of the best validation AUC and the last one go.
        on_epoch: told the history after every epoch.
        perturb: what training rows go through before they are augmented.
        strategy: from `training.devices.make_strategy`; one device if left out.

    Raises:
        DataError: the training or validation split lacks real or fake files or rows, or the batch cannot
            be shared.
        OtherTraining: what was interrupted here had other settings or data.
        Diverged: the loss is no number any more.
    """
    strategy = strategy or tf.distribute.get_strategy()
    chief = is_chief(strategy)
    training, validation = _labelled(table, "train"), _labelled(table, "val")
    _check_shares(settings.batch_size, len(validation), strategy.num_replicas_in_sync)
    make_deterministic(settings.seed)
    with strategy.scope(), precision(settings.mixed_precision):
        model = build()
        # Sharing layers and weights with `model`: Keras wants a loss for every output it knows of.
        scorer = keras.Model(model.input, model.output if table.cells is not None else model.output["logit"])
    # The model that is saved has the weights of `model`, but float32 and one device.
    kept = build()

    def keep(file: Path) -> None:
        # All workers must take part in reading the weights.
        weights = model.get_weights()
        if chief:
            kept.set_weights(weights)
            save_model(file, kept)

    run = run_identity(settings.model_dump(mode="json"), table.data_hash)
    progress, values = read_checkpoint(checkpoint_of(best_file), run) or (Progress(run=run), None)
    steps = steps_per_epoch(len(training), settings.batch_size)
    judged = validation_batches(table, validation, settings.batch_size, strategy)
    for phase in phases(settings)[progress.phase :]:
        set_backbone_trainable(model, phase.backbone_trainable)
        with strategy.scope():
            compile_phase(scorer, phase, steps, settings)
            if values is not None:
                restore(scorer, values)
                values = None
        step, test = None, make_step(scorer.test_step, strategy, judged)
        with _progress_bar() as bar:
            task = bar.add_task(
                phase.name, total=phase.epochs * steps, completed=progress.epoch * steps, metrics=""
            )
            while progress.epoch < phase.epochs and progress.stale < settings.patience:
                seed = (settings.seed, progress.phase, progress.epoch)
                batches = training_batches(
                    table, training, settings.batch_size, seed, augment, perturb, strategy
                )
                step = step or make_step(scorer.train_step, strategy, batches)
                scorer.reset_metrics()
                speed = run_steps(step, batches, steps, len(training), partial(bar.advance, task))
                logs = _measured(scorer, test, judged)
                if not isfinite(logs["val_loss"]):  # the last step was one too far
                    raise Diverged
                if logs["val_auc"] > progress.best:
                    keep(best_file)
                progress = progress.after_epoch(logs, speed)
                bar.update(task, metrics=_summary(progress.epoch, logs))
                if on_epoch is not None:
                    on_epoch(progress.history)
                # Last: a run that is killed before this line does the epoch again, all of it.
                save_checkpoint(checkpoint_of(best_file), progress, scorer, write=chief)
        progress = progress.after_phase()
    keep(final_file)
    if chief:
        kept.load_weights(best_file)
    return Fitted(kept, progress.history, progress.speed)


def checkpoint_of(best_file: Path) -> Path:
    """Where the state of an unfinished training lies; to be deleted when all is done."""
    return best_file.with_suffix(".checkpoint.npz")


def _measured(scorer: keras.Model, test: Step, validation: Iterable[Any]) -> dict[str, float]:
    """Metrics of the steps since the last reset, and the same of validation."""
    logs = _metrics(scorer)
    scorer.reset_metrics()
    for batch in validation:
        test(batch)
    return logs | {f"val_{name}": value for name, value in _metrics(scorer).items()}


def _metrics(scorer: keras.Model) -> dict[str, float]:
    # Keras puts the output's name before that of its metric if there are several outputs.
    found = scorer.get_metrics_result()
    return {"auc" if name == "logit_auc" else name: float(value) for name, value in found.items()}


def _check_shares(batch_size: int, validation: int, replicas: int) -> None:
    if batch_size % replicas:
        raise DataError(f"--batch-size {batch_size} cannot be shared evenly by {replicas} devices")
    if validation < replicas:  # not all layers could do without a row
        raise DataError(f"{validation} rows to validate on are too few for {replicas} devices")


def _labelled(table: RowTable, split: Split) -> NDArray[np.int64]:
    files = table.files(split)
    # Of files, not of rows: a fake photo's crops may show nothing forged and count as real.
    if {table.samples[file].label for file in files} != {0, 1}:
        raise DataError(f"the {split} split needs both real and fake files that can be decoded")
    rows = table.rows(files)
    clear: NDArray[np.int64] = rows[table.labels[rows] != UNCLEAR]
    if set(table.labels[clear]) != {0, 1}:
        raise DataError(
            f"no row of the {split} split shows enough of a forgery, by its masks, or none is real"
        )
    return clear


def compile_phase(scorer: keras.Model, phase: Phase, epoch_steps: int, settings: FitSettings) -> None:
    """Gives the model the loss, metrics and optimiser of a phase.

    Args:
        scorer: rows → logit, or {"logit", "heatmap"} where cells are known too.
    """
    steps = phase.epochs * epoch_steps
    warm_up = round(_WARM_UP_SHARE * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        phase.learning_rate / 10,
        decay_steps=max(1, steps - warm_up),
        warmup_target=phase.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=_WEIGHT_DECAY)
    if settings.mixed_precision:
        # Gradients that float16 would round to zero.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    # Of rows: along the last axis, that of the rows here, Keras would take the mean before it weighs them.
    loss: Any = keras.losses.BinaryCrossentropy(
        from_logits=True, label_smoothing=settings.label_smoothing, axis=()
    )
    metrics: Any = [LogitAUC(name="auc")]
    weights = None
    if isinstance(scorer.output, dict):
        loss, metrics = {"logit": loss, "heatmap": CellLoss()}, {"logit": metrics}
        weights = {"logit": 1.0, "heatmap": _CELLS}
    scorer.compile(optimizer, loss, weights, weighted_metrics=[], metrics=metrics)
    # Otherwise the first step would: too late to restore values, and several devices could not do it there.
    scorer.optimizer.build(scorer.trainable_variables)
    if isinstance(scorer.output, dict):  # so do the means of each output's loss
        blank = {name: keras.ops.zeros((1, *output.shape[1:])) for name, output in scorer.output.items()}
        scorer.compute_loss(y=blank, y_pred=blank)


def _summary(epoch: int, logs: dict[str, float]) -> str:
    metrics = "  ".join(f"{name} {logs[name]:.4f}" for name in ("loss", "val_loss", "val_auc"))
    return f"epoch {epoch}  {metrics}"


def _progress_bar() -> Bar:
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}"),
    )
