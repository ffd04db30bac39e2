from pathlib import Path

import pytest

from server.media.spec import spec_hash
from training.__main__ import main
from training.record import TrainingRecord, write_record


@pytest.mark.parametrize("content", [None, b"cut short"])
def test_a_model_that_cannot_be_loaded_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    name = "audio_model_best.keras"
    write_record(
        tmp_path, TrainingRecord(modality="audio", keras_file=name, branch={}, spec_hash=spec_hash())
    )
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["evaluate", "--data-dir", str(tmp_path), "--models", str(tmp_path)]) == 1
    assert name in capsys.readouterr().out.replace("\n", "")
