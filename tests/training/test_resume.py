"""python -m training fit, killed and run again: real processes, generated noises."""

import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from training.__main__ import main
from training.record import TrainingRecord, read_record

pytestmark = pytest.mark.timeout(300)

EPOCHS = 3

KILLED_AFTER_ITS_FIRST_EPOCH = """
import os, signal, sys
from training import fit
from training.__main__ import main

def save_and_die(*arguments, **options):
    save_checkpoint(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)

save_checkpoint, fit.save_checkpoint = fit.save_checkpoint, save_and_die
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def whole(noises: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of a run that nobody disturbed."""
    models = tmp_path_factory.mktemp("whole")
    assert main(_arguments(noises, models)) == 0
    return models


def _arguments(data: Path, models: Path, *more: str) -> list[str]:
    folders = f"--data-dir {data} --output-dir {models} --media-types audio --workers 1"
    model = f"--window-seconds 0.5 --max-windows 1 --batch-size 16 --epochs {EPOCHS}"
    return ["fit", *folders.split(), *model.split(), *more]


def test_a_run_that_was_killed_ends_as_one_that_was_not(noises: Path, whole: Path, tmp_path: Path) -> None:
    _run_and_kill(noises, tmp_path)
    assert not (tmp_path / "audio_model.json").exists()
    assert main(_arguments(noises, tmp_path)) == 0
    assert _without_speed(read_record(tmp_path, "audio")) == _without_speed(read_record(whole, "audio"))
    for name in ("audio_model_best.keras", "audio_model_final.keras"):
        for mine, theirs in zip(_weights(tmp_path / name), _weights(whole / name), strict=True):
            assert np.array_equal(mine, theirs)
    logs = [models / "training_logs" / "audio.csv" for models in (tmp_path, whole)]
    assert logs[0].read_text() == logs[1].read_text()
    assert len(logs[0].read_text().splitlines()) == 1 + EPOCHS
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in whole.iterdir()}


def _run_and_kill(data: Path, models: Path) -> None:
    command = [sys.executable, "-c", KILLED_AFTER_ITS_FIRST_EPOCH, *_arguments(data, models)]
    killed = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    assert killed.returncode == -signal.SIGKILL


def _weights(path: Path) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in keras.saving.load_model(path, compile=False).get_weights()]


def _without_speed(record: TrainingRecord) -> dict[str, object]:
    return record.model_dump(exclude={"metrics": {"speed"}})


def test_a_finished_training_is_kept_unless_asked(
    noises: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (whole / "audio_model_best.keras").stat().st_mtime_ns
    assert main(_arguments(noises, whole)) == 0
    assert "kept" in capsys.readouterr().out
    assert main(_arguments(noises, whole, "--seed", "8")) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "other settings or data (seed 7 → 8)" in said
    assert "--restart" in said
    assert (whole / "audio_model_best.keras").stat().st_mtime_ns == before
    assert main(_arguments(noises, whole, "--epochs", "1", "--restart")) == 0
    assert read_record(whole, "audio").settings["epochs"] == 1
    assert (whole / "audio_model_best.keras").stat().st_mtime_ns != before
