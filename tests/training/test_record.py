import json
from pathlib import Path

import pytest

from training.record import TrainingRecord, read_record, write_record

RECORD = TrainingRecord(
    modality="audio",
    keras_file="audio_model_best.keras",
    branch={"temperature": 1.3, "aggregation": "mean"},
    spec_hash="0123456789abcdef",
    seed=7,
    metrics={"test": {"auc": 0.9}},
)


def test_a_record_survives_the_file(tmp_path: Path) -> None:
    path = write_record(tmp_path, RECORD)
    assert path == tmp_path / "audio_model.json"
    assert read_record(tmp_path, "audio") == RECORD


def test_no_record_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"image_model\.json"):
        read_record(tmp_path, "image")


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"modality": "smell"},
        {"keras_file": "../audio_model_best.keras"},
        {"spec_hash": ""},
        {"surprise": 1},
    ],
)
def test_a_foreign_record_is_a_value_error(tmp_path: Path, change: dict[str, object]) -> None:
    path = write_record(tmp_path, RECORD)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=next(iter(change))):
        read_record(tmp_path, "audio")
