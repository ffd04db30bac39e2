import json

import numpy as np
import pytest
from rich.console import Console

from training.calibrate import Calibration
from training.evaluate import FileLogits, as_json, as_table, evaluate, from_json
from training.rows import UNCLEAR
from training.sample import Sample


def _sample(name: str, label: int, operator: str, modality: str = "image") -> Sample:
    return Sample(name, modality, label, "test", name, operator)


# Two rows a file; the last two files are videos.
SCORED = FileLogits(
    samples=[
        _sample("a", 0, "none"),
        _sample("b", 0, "none"),
        _sample("c", 1, "blend"),
        _sample("d", 1, "noise"),
        _sample("e", 0, "none", "video"),
        _sample("f", 1, "flicker", "video"),
    ],
    logits=np.array([-3, -1, 1, 1, 4, 2, -5, -5, 2, 2, -1, -1], np.float32),
    labels=np.array([0, 0, 0, 0, 1, UNCLEAR, 1, 0, 0, 0, 1, 1], np.int8),
    starts=np.arange(0, 12, 2),
)


def test_photos_and_videos_are_measured_apart_and_operators_against_real_files_of_their_kind() -> None:
    photos, videos = evaluate(SCORED, Calibration(), "image")
    assert (photos.media, photos.files, photos.rows) == ("image", 4, 8)
    assert (videos.media, videos.files, videos.rows) == ("video", 2, 4)
    assert set(photos.operators) == {"blend", "noise"}
    assert photos.operators["blend"]["auc"].value == pytest.approx(1.0)
    assert photos.operators["noise"]["auc"].value == pytest.approx(0.0)
    # Reals at -2 and 1, fakes at 3 and -5: "c" is above both, "d" above none.
    assert photos.by_file["auc"].value == pytest.approx(0.5)
    assert photos.by_file["accuracy"].value == pytest.approx(0.5)
    assert videos.by_file["auc"].value == pytest.approx(0.0)


def test_rows_are_measured_by_their_own_labels_without_the_unclear() -> None:
    photos, _ = evaluate(SCORED, Calibration(), "image")
    # Right at 0: rows -3, -1 (real), 4 (fake), the second -5 (real); wrong: 1, 1 and the first -5.
    assert photos.by_row["accuracy"].value == pytest.approx(4 / 7)


def test_the_calibration_moves_files_across_the_threshold() -> None:
    shifted, _ = evaluate(SCORED, Calibration(bias=-1.5), "image")
    assert shifted.by_file["accuracy"].value == pytest.approx(3 / 4)


def test_the_table_and_the_json_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluate(SCORED, Calibration(), "image")
    Console(width=160).print(as_table(found, "Test"))
    shown = capsys.readouterr().out
    for text in ("blend", "noise", "flicker", "0.500 [", "image files", "video files"):
        assert text in shown
    assert from_json(json.loads(json.dumps(as_json(found)))) == found
