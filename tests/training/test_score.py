import keras
import numpy as np
import pytest
from scipy.special import expit

from training.calibrate import Calibration
from training.rows import RowTable
from training.sample import Sample, Split
from training.score import FileLogits, judged_by, score_files


def test_without_files_nothing_is_judged() -> None:
    nothing = FileLogits([], np.zeros(0, np.float32), np.zeros(0, np.int8), np.zeros(0, np.int64))
    for aggregation in ("mean", "log_mean_exp"):
        assert judged_by(nothing, Calibration(aggregation=aggregation), "image") == []


def test_each_file_of_a_split_is_judged_by_its_own_rows() -> None:
    splits: tuple[Split, ...] = ("test", "val", "test", "test")
    samples = [Sample(f"{n}.jpg", "image", n % 2, split, f"{n}") for n, split in enumerate(splits)]
    logits = np.array([[1], [3], [9], [-2], [4], [6]], np.float32)
    labels = np.array([0, 0, 1, 0, 1, 0], np.int8)
    table = RowTable(logits, labels, np.array([0, 2, 3, 4, 6]), samples, [], "")
    value = keras.Input((1,))
    model = keras.Model(value, {"logit": keras.layers.Reshape(())(value)})
    scored = score_files(model, table, "test")
    assert scored.file_labels.tolist() == [0, 0, 1]
    files = judged_by(scored, Calibration(temperature=2, bias=1), "image")
    assert [file.path for file in files] == ["0.jpg", "2.jpg", "3.jpg"]
    assert [file.image_probability for file in files] == pytest.approx(expit([2, 0, 3.5]))
    assert [[row.label for row in file.rows] for file in files] == [[0, 0], [0], [1, 0]]
    rows = [row.fake_probability for file in files for row in file.rows]
    assert rows == pytest.approx(expit([1.5, 2.5, 0, 3, 4]))
