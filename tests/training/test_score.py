import numpy as np

from training.calibrate import Calibration
from training.score import FileLogits, judged_by


def test_without_files_nothing_is_judged() -> None:
    nothing = FileLogits([], np.zeros(0, np.float32), np.zeros(0, np.int8), np.zeros(0, np.int64))
    for aggregation in ("mean", "log_mean_exp"):
        assert judged_by(nothing, Calibration(aggregation=aggregation), "image") == []
