import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from server.media.spec import spec_hash
from training.record import TrainingRecord, write_record

BRANCHES: dict[str, dict[str, Any]] = {
    "image": {"temperature": 1.5, "bias": 0.2, "crops": 2, "frames_per_video": 3},
    "video": {"aggregation": "log_mean_exp", "sharpness": 2.0, "clips_per_video": 1},
    "audio": {"sample_rate": 8_000, "max_windows": 4},
}


@pytest.fixture(scope="session")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small trained-looking model per modality."""
    from tests.exporter import keras_models

    builders: dict[str, Callable[[], Any]] = {
        "image": keras_models.image_model,
        "video": keras_models.video_model,
        "audio": keras_models.audio_model,
    }
    folder = tmp_path_factory.mktemp("keras")
    files = {modality: folder / f"{modality}_model_best.keras" for modality in builders}
    for modality, build in builders.items():
        keras_models.seeded()
        keras_models.randomise(build()).save(files[modality])
    return files


@pytest.fixture
def add_model(keras_files: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """Puts a modality's model and record into tmp_path; keywords change the record."""

    def add(modality: str, **changes: Any) -> Path:
        path = tmp_path / keras_files[modality].name
        path.write_bytes(keras_files[modality].read_bytes())
        return add_record(tmp_path, modality, **changes)

    return add


def add_record(folder: Path, modality: str, **changes: Any) -> Path:
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
