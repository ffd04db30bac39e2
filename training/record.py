"""The training record: what the trainer says of a model, `{modality}_model.json` beside the Keras file."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from training.settings import Modality


class TrainingRecord(BaseModel, frozen=True, extra="forbid"):
    """How one model came about, and how its logits become probabilities.

    Attributes:
        keras_file: name of the model that the calibration was fitted on, in the same folder.
        branch: the fields of `server.engine.manifest.ImageBranch`, `VideoBranch` or `AudioBranch`
            that training decides: calibration, aggregation, how many rows a file gives. Sizes
            that the model itself tells (of frames, windows, heatmap) may be left out.
        spec_hash: `server.media.spec.spec_hash()` of the rows that it was trained on.
        data: the corpus: hash, number of files per split and class, …
        settings: of the trainer.
        packages: version of each package that shaped the result.
        metrics: by split, for example {"test": {"auc": 0.93}}.
    """

    schema_version: Literal[1] = 1
    modality: Modality
    keras_file: str
    branch: dict[str, Any]
    spec_hash: str = Field(min_length=1)
    data: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    packages: dict[str, str] = Field(default_factory=dict)
    seed: int | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)

    @field_validator("keras_file")
    @classmethod
    def _names_a_file_of_the_same_folder(cls, value: str) -> str:
        if not re.fullmatch(r"[\w.-]+\.keras", value):
            raise ValueError(f"keras_file must be the plain name of a .keras file, not {value!r}")
        return value


def record_path(folder: Path, modality: str) -> Path:
    """Where the record of a modality lies in the models folder."""
    return folder / f"{modality}_model.json"


def write_record(folder: Path, record: TrainingRecord) -> Path:
    """Writes it beside its model, for people to read too, and gives the path."""
    path = record_path(folder, record.modality)
    path.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return path


def read_record(folder: Path, modality: str) -> TrainingRecord:
    """Reads what `write_record` wrote.

    Raises:
        OSError: there is none, or it cannot be read.
        ValueError: it is not a record of this version (pydantic's ValidationError is one).
    """
    return TrainingRecord.model_validate_json(record_path(folder, modality).read_text(encoding="utf-8"))
