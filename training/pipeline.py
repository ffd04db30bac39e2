"""From files to calibrated, measured models with their records."""

import csv
import importlib.metadata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from server.media.spec import spec_hash
from training.augment import augment_clips, augment_images
from training.batches import Augment
from training.calibrate import calibrate
from training.checkpoint import run_identity
from training.devices import is_chief
from training.errors import OtherTraining
from training.evaluation.measure import as_json, evaluate
from training.files import ABOUT
from training.fit import Fitted, checkpoint_of, fit
from training.history import HistoryLog
from training.models.audio import build_audio_model
from training.models.frontend import LogMelSpectrogram
from training.models.image import build_image_model
from training.models.video import build_video_model
from training.perturb.rows import row_perturbation
from training.record import TrainingRecord, read_record, record_path, write_record
from training.rows import RowTable, load_rows
from training.sample import Sample
from training.score import judged_by, score_files
from training.settings import FitSettings, Modality
from training.steps import Speed

_AUGMENT: dict[Modality, Augment] = {"image": augment_images, "video": augment_clips}
_PACKAGES = ("av", "keras", "numpy", "scipy", "tensorflow")
_REJECTIONS_SHOWN = 10


def train_modality(
    modality: Modality,
    folder: Path,
    samples: Sequence[Sample],
    output: Path,
    settings: FitSettings,
    workers: int,
    console: Console,
    strategy: tf.distribute.Strategy | None = None,
    restart: bool = False,
) -> TrainingRecord | None:
    """Rows → fit → calibrate → evaluate; writes the models and `{modality}_model.json` to `output`.

    A record there of the same data and settings means that this was done before; it is returned.

    Args:
        strategy: of the settings' name; one device if left out.
        restart: do it all again, whatever was done before.

    Returns:
        the record; None in a worker that is not the chief, which measures and writes nothing.

    Raises:
        DataError: the files do not suffice; the message says what is missing.
        OtherTraining: what was done there before, finished or not, had other settings or data.
    """
    console.rule(f"{modality} model")
    settings = settings.resolved(modality)
    table = load_rows(folder, samples, modality, settings, workers)
    if settings.augment_share and settings.augment_crop:
        # The cells of a cropped row are not where its mask says.
        table = replace(table, cells=None)
    output.mkdir(parents=True, exist_ok=True)
    _report_rejected(table, output / f"{modality}_left_out.csv", console)
    data = _describe(table, folder)
    best = output / f"{modality}_model_best.keras"
    chief = strategy is None or is_chief(strategy)
    if restart:  # each worker: one may be here while the chief still measures the model before
        for done in (record_path(output, modality), checkpoint_of(best)):
            done.unlink(missing_ok=True)
    run = run_identity(settings.model_dump(mode="json"), table.data_hash)
    finished = None if restart else _finished(output, modality, run)
    if finished is not None:
        console.print(f"{record_path(output, modality)} is of the same data and settings: kept")
        return finished
    fitted = fit(
        partial(build_model, modality, settings),
        table,
        settings,
        best,
        output / f"{modality}_model_final.keras",
        augment=_AUGMENT.get(modality),
        on_epoch=HistoryLog(output, modality, anew=restart).write if chief else None,
        perturb=row_perturbation(modality, settings),
        strategy=strategy,
    )
    if not chief:
        return None
    console.print(f"training steps: {fitted.speed}")
    record = _record(modality, fitted, table, settings, best.name, data)
    write_record(output, record)
    checkpoint_of(best).unlink()
    return record


def _record(
    modality: Modality,
    fitted: Fitted,
    table: RowTable,
    settings: FitSettings,
    keras_file: str,
    data: dict[str, Any],
) -> TrainingRecord:
    """Calibrates the model on the validation split and measures it on the test split."""
    model = fitted.model
    validation = score_files(model, table, "val")
    calibration = calibrate(validation.logits, validation.starts, validation.file_labels)
    held_out = evaluate(judged_by(score_files(model, table, "test"), calibration, modality))
    return TrainingRecord(
        modality=modality,
        keras_file=keras_file,
        branch=calibration.model_dump() | _rows_per_file(modality, settings, model),
        spec_hash=spec_hash(),
        data=data,
        settings=settings.model_dump(mode="json"),
        packages={name: importlib.metadata.version(name) for name in _PACKAGES},
        seed=settings.seed,
        metrics={"test": as_json(held_out), "epochs": fitted.history, "speed": _speed(fitted.speed)},
    )


def build_model(modality: Modality, settings: FitSettings) -> keras.Model:
    """A model of this modality, not trained, as `resolved` settings want it."""
    backbone, size, weights = settings.backbone, settings.image_size, settings.weights or "none"
    match modality:
        case "image":
            return build_image_model(backbone, size, size, weights)
        case "video":
            return build_video_model(backbone, settings.clip_length, size, size, weights)
        case "audio":
            return build_audio_model(settings.sample_rate, settings.window_samples)


def _finished(output: Path, modality: Modality, run: dict[str, Any]) -> TrainingRecord | None:
    try:
        record = read_record(output, modality)
    except (OSError, ValueError):
        return None
    if not (output / record.keras_file).is_file():
        return None
    # A setting that the record's version did not have yet is as it was then: its default.
    defaults = FitSettings().model_dump(mode="json")
    trained = {**defaults, **record.settings, "data": record.data.get("hash"), "rows": record.spec_hash}
    if trained != run:
        raise OtherTraining(record_path(output, modality), trained, run)
    return record


def _describe(table: RowTable, folder: Path) -> dict[str, Any]:
    about = folder / ABOUT
    counts = Counter((sample.split, "fake" if sample.label else "real") for sample in table.samples)
    return {
        "about": about.read_text(encoding="utf-8").strip() if about.is_file() else "",
        "hash": table.data_hash,
        "files": {f"{split} {kind}": count for (split, kind), count in sorted(counts.items())},
        "rows": len(table.labels),
        "operators": dict(sorted(Counter(sample.manipulation for sample in table.samples).items())),
        "left out": dict(Counter(entry.reason.split(":")[0] for entry in table.rejected)),
    }


def _speed(speed: Speed) -> dict[str, float]:
    return {
        "rows_per_second": round(speed.rows_per_second, 3),
        "waiting_share": round(speed.waiting_share, 4),
    }


def _rows_per_file(modality: Modality, settings: FitSettings, model: keras.Model) -> dict[str, Any]:
    match modality:
        case "image":
            return {"frames_per_video": settings.frames_per_video, "crops": settings.crops}
        case "video":
            return {
                "clips_per_video": settings.clips_per_video,
                "clip_stride_seconds": settings.clip_stride_seconds,
            }
        case "audio":
            views = [layer.settings() for layer in model.layers if isinstance(layer, LogMelSpectrogram)]
            return {
                "sample_rate": settings.sample_rate,
                "max_windows": settings.max_windows,
                "mel": {"views": views},
            }


def _report_rejected(table: RowTable, listing: Path, console: Console) -> None:
    """Says which files are left out; all of them, with reasons, go to the CSV `listing`."""
    if not table.rejected:
        return
    with listing.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("path", "reason"), *((entry.path, entry.reason) for entry in table.rejected)]
        )
    console.print(f"{len(table.rejected)} files are left out, see {listing}:", style="yellow", markup=False)
    for entry in table.rejected[:_REJECTIONS_SHOWN]:
        console.print(f"  {entry.path}: {entry.reason}", markup=False)
