"""Records of trainings that nobody has run, beside the models that tests make."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.media.spec import spec_hash
from training.record import TrainingRecord, write_record

BRANCHES: dict[str, dict[str, Any]] = {
    "image": {"temperature": 1.5, "bias": 0.2, "crops": 2, "frames_per_video": 3},
    "video": {"aggregation": "log_mean_exp", "sharpness": 2.0, "clips_per_video": 1},
    "audio": {"sample_rate": 8_000, "max_windows": 4},
}

AddModel = Callable[..., Path]
"""Puts a modality's model and record into a folder, and gives the record; keywords change that."""


def add_record(folder: Path, modality: str, **changes: Any) -> Path:
    """The record of `{modality}_model_best.keras`, with these fields instead of the usual ones."""
    fields: dict[str, Any] = {
        "modality": modality,
        "keras_file": f"{modality}_model_best.keras",
        "branch": BRANCHES[modality],
        "spec_hash": spec_hash(),
        "data": {"about": "Noise, for tests.", "files": {"train": 10}},
        "seed": 7,
        "metrics": {"test": {"auc": 0.9123}},
    }
    return write_record(folder, TrainingRecord(**(fields | changes)))
