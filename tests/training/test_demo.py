"""The whole chain at its smallest: generated media → fit → calibrate → export → the same answers."""

import csv
import json
from contextlib import ExitStack
from dataclasses import replace
from math import nan
from pathlib import Path

import keras
import numpy as np
import pytest

from server.engine.batch import Rows, empty_rows
from server.engine.manifest import Manifest
from server.engine.session import Session
from tests.running_server import running_server
from training.__main__ import main
from training.calibrate import Calibration
from training.evaluation.judged import JudgedFile, read_judged
from training.files import find_samples
from training.record import read_record
from training.rows import load_rows
from training.score import score_files
from training.settings import MODALITIES, FitSettings, Modality

# One fixture generates media, trains three models and exports them: minutes where cores are few.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    assert main([*_command(folder), "--version", "3"]) == 0
    return folder


def _command(folder: Path) -> list[str]:
    folders = f"--data-dir {folder / 'data'} --output-dir {folder / 'models'}"
    pictures = "--image-size 64 --crops 1 --frames-per-video 2 --clips-per-video 1"
    sound = "--window-seconds 1 --max-windows 2"
    return f"demo {folders} --scale 0.001 --epochs 1 --workers 2 {pictures} {sound}".split()


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_exported_graph_gives_every_file_the_probability_that_keras_gives(
    folder: Path, modality: Modality
) -> None:
    record = read_record(folder / "models", modality)
    settings = FitSettings.model_validate(record.settings)
    table = load_rows(folder / "data", find_samples(folder / "data"), modality, settings, workers=1)
    model = keras.saving.load_model(folder / "models" / record.keras_file, compile=False)
    scored = score_files(model, table, "val")
    calibration = Calibration.model_validate(record.branch)
    expected = calibration.probability(calibration.aggregate(scored.logits, scored.starts))

    session = Session(folder / "models" / "detector" / "3" / "model.onnx", "cpu")
    rows = [table.values[table.rows(file)] for file in table.files("val")[:, None]]
    scores = session.run([_request(modality, of_file, session.manifest) for of_file in rows])
    found = [score.modality_probability[MODALITIES.index(modality)] for score in scores]
    assert found == pytest.approx(expected, abs=1e-4)


def _request(modality: Modality, rows: np.ndarray, manifest: Manifest) -> Rows:
    """The rows of a file for one model, and none for the others."""
    empty = replace(empty_rows(manifest), weights=np.ones(3, np.float32))
    match modality:
        case "image":
            return replace(empty, frames=rows, image_index=np.arange(len(rows)))
        case "video":
            frames = rows.reshape(-1, *rows.shape[2:])
            return replace(empty, frames=frames, clip_index=np.arange(len(frames)).reshape(len(rows), -1))
        case "audio":
            return replace(empty, audio=rows)


def test_records_say_how_the_models_came_about(folder: Path) -> None:
    for modality in MODALITIES:
        record = read_record(folder / "models", modality)
        assert record.seed == record.settings["seed"] == 7
        assert record.data["files"]["train real"] == record.data["files"]["train fake"]
        assert "tensorflow" in record.packages
        assert {"auc", "eer"} <= set(record.metrics["test"][modality]["total"]["by_file"])


def test_a_second_run_keeps_media_and_models_and_exports_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "models").glob("*.keras")}
    media = (folder / "data" / "corpus.json").stat().st_mtime_ns
    assert main(_command(folder)) == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / "models").glob("*.keras")} == before
    assert (folder / "data" / "corpus.json").stat().st_mtime_ns == media
    assert "holds this corpus already" in capsys.readouterr().out
    assert (folder / "models" / "detector" / "4" / "model.onnx").is_file()


@pytest.fixture(scope="module")
def measured(folder: Path) -> Path:
    """What evaluate found with the Keras models."""
    assert main(_evaluate(folder, "keras")) == 0
    return folder / "keras"


def _evaluate(folder: Path, output: str, *engine: str) -> list[str]:
    folders = f"--data-dir {folder / 'data'} --models {folder / 'models'} --output-dir {folder / output}"
    command = f"evaluate {folders} --report-dir {folder / output} --workers 1 --effort 1"
    return [*command.split(), *engine]


def test_evaluate_repeats_the_numbers_of_the_record(folder: Path, measured: Path) -> None:
    results = json.loads((measured / "model_evaluation_results.json").read_text())
    for modality in MODALITIES:
        recorded = read_record(folder / "models", modality).metrics["test"][modality]["total"]
        found = next(e for e in results["evaluations"] if (e["voice"], e["media"]) == (modality, modality))
        for name, (value, *_) in recorded["by_file"].items():
            assert found["total"]["by_file"][name][0] == pytest.approx(value, abs=1e-5), (modality, name)
        assert found["total"]["rows"] == recorded["rows"]


@pytest.mark.parametrize("engine", ["onnx", "server"])
def test_the_served_detector_measures_as_the_keras_models_do(
    folder: Path, measured: Path, engine: str
) -> None:
    with ExitStack() as stack:
        chosen = ["--engine", "onnx"]
        if engine == "server":
            chosen = ["--server", stack.enter_context(running_server(folder / "models")).address]
        assert main(_evaluate(folder, engine, *chosen)) == 0
    assert _numbers(folder / engine) == pytest.approx(_numbers(measured), abs=1e-4, nan_ok=True)
    offline, served = (_judgements(of) for of in (measured, folder / engine))
    assert len(served) > 10
    assert [(file.path, file.verdict, file.reason) for file in served] == [
        (file.path, file.verdict, file.reason) for file in offline
    ]
    for mine, theirs in zip(offline, served, strict=True):
        assert theirs.fake_probability == pytest.approx(mine.fake_probability, abs=1e-4)
        assert [row.label for row in theirs.rows] == [row.label for row in mine.rows]
        assert [row.fake_probability for row in theirs.rows] == pytest.approx(
            [row.fake_probability for row in mine.rows], abs=1e-4
        )


def _numbers(output: Path) -> dict[str, float]:
    """Counts and the metrics that move no further than scores do, by line and column of the CSV.

    One epoch leaves scores so close together that the order of two may hang on the last bit.
    """
    smooth = {"count", "files", "fakes", "log_loss", "brier", "cllr"}
    with (output / "model_evaluation_results.csv").open() as file:
        return {
            f"{'/'.join(list(line.values())[:5])} {name}": float(value) if value else nan
            for line in csv.DictReader(file)
            for name, value in line.items()
            if name in smooth
        }


def _judgements(output: Path) -> list[JudgedFile]:
    return read_judged(output / "model_evaluation_predictions.jsonl")


def test_a_folder_without_media_ends_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--data-dir", str(tmp_path), "--output-dir", str(tmp_path / "models")]) == 1
    assert "error: " in capsys.readouterr().out
