from pathlib import Path

import numpy as np
from PIL import Image

from training.evaluation.judge import Task
from training.evaluation.judged import JudgedFile
from training.labels import UNCLEAR
from training.sample import WHOLE, Region

LEFT: Region = (0.0, 0.0, 0.4, 1.0)
RIGHT: Region = (0.6, 0.0, 1.0, 1.0)
FAKE, REAL = (JudgedFile(path="a.jpg", label=label, kind="image") for label in (1, 0))


def test_rows_are_labelled_as_in_training(tmp_path: Path) -> None:
    right = np.zeros((48, 96), np.uint8)
    right[:, 70:] = 255
    Image.fromarray(right).save(tmp_path / "mask.png")
    masked = Task(FAKE, b"", mask=tmp_path / "mask.png")
    assert masked.row_labels("image", [WHOLE, LEFT, RIGHT]) == [1, 0, 1]
    assert masked.row_labels("audio", [WHOLE] * 2) == [1, 1]
    assert masked.row_labels("audio", [WHOLE] * 2, apart=True) == [UNCLEAR] * 2
    assert Task(REAL, b"").row_labels("audio", [WHOLE], apart=True) == [0]
    assert masked.row_labels("image", []) == []
    assert Task(FAKE, b"").row_labels("image", [WHOLE, LEFT, RIGHT]) == [1, 1, 1]
    assert Task(FAKE, b"", LEFT).row_labels("image", [WHOLE, LEFT, RIGHT]) == [1, 1, 0]
    assert Task(REAL, b"").row_labels("image", [WHOLE, LEFT]) == [0, 0]
