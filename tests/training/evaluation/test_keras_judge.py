from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.spec import spec_hash
from server.media.types import RowSpec
from tests.media import encode_sound, voice
from training.__main__ import main
from training.calibrate import Calibration
from training.evaluation.judge import Task
from training.evaluation.judged import JudgedFile
from training.evaluation.keras_judge import KerasJudge
from training.labels import UNCLEAR
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


def test_a_voice_in_a_channel_of_its_own_is_judged_by_itself() -> None:
    def model(rows: Any, training: bool) -> dict[str, Any]:
        return {"logit": 10 * rows.mean(1)}

    branch: Any = SimpleNamespace(model=model, calibration=Calibration())
    spec = RowSpec(want_images=False, want_clips=False, window_samples=16_000, by_channel=True)
    call = np.stack([voice(4, 16_000, 1) - 0.2, voice(4, 16_000, 2) + 0.2])
    task = Task(
        JudgedFile(path="call.wav", label=1, kind="audio"), encode_sound(call, "wav", "pcm_s16le", 16_000)
    )
    with closing(DecodePool(1, MediaLimits())) as pool:
        (answer,) = KerasJudge({"audio": branch}, spec, pool).judge([task])
    assert answer.audio_probability == pytest.approx(1 / (1 + np.exp(-2)), abs=0.01)
    assert answer.verdict == "FAKE"
    assert [row.label for row in answer.rows] == [UNCLEAR] * 8
