import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from server.engine.manifest import Manifest
from server.engine.session import Session
from tests.training_records import AddModel, add_record


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


@pytest.fixture(scope="session")
def manifest(graph: Path) -> Manifest:
    """That of the tiny detector."""
    return Session(graph, "cpu").manifest


@pytest.fixture
def add_model(keras_files: dict[str, Path], tmp_path: Path) -> AddModel:
    """Puts a modality's model and record into tmp_path; keywords change the record."""

    def add(modality: str, **changes: Any) -> Path:
        shutil.copy(keras_files[modality], tmp_path)
        return add_record(tmp_path, modality, **changes)

    return add
