"""A model's answers on the rows of a table, file by file."""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from training.batches import predict_logits
from training.calibrate import Calibration
from training.evaluation.judged import JudgedFile, JudgedRow, unjudged
from training.rows import RowTable
from training.sample import Sample, Split
from training.settings import Modality


@dataclass(frozen=True, slots=True)
class FileLogits:
    """A model's answers, rows of a file side by side.

    Attributes:
        samples: [F].
        logits: [N], one per row.
        labels: [N], of the rows; UNCLEAR where a row may be called either.
        starts: [F], where each file's rows begin.
    """

    samples: list[Sample]
    logits: NDArray[np.float32]
    labels: NDArray[np.int8]
    starts: NDArray[np.int64]

    @property
    def file_labels(self) -> NDArray[np.int64]:
        return np.asarray([sample.label for sample in self.samples], np.int64)


def score_files(model: keras.Model, table: RowTable, split: Split) -> FileLogits:
    """The model's logits on every row of a split."""
    files = table.files(split)
    rows = table.rows(files)
    counts = table.counts(files)
    return FileLogits(
        samples=[table.samples[file] for file in files],
        logits=predict_logits(model, table, rows),
        labels=table.labels[rows],
        starts=np.cumsum(counts) - counts,
    )


def judged_by(scored: FileLogits, calibration: Calibration, modality: Modality) -> list[JudgedFile]:
    """What this one model says of the files; times of rows are not known here."""
    whole = calibration.probability(calibration.aggregate(scored.logits, scored.starts))
    rows = [
        JudgedRow(modality, int(label), 0.0, 0.0, float(probability))
        for label, probability in zip(scored.labels, calibration.probability(scored.logits), strict=True)
    ]
    ends = np.append(scored.starts, len(rows))[1:]
    return [
        unjudged(sample, sample.path, "").answered(
            **{f"{modality}_probability": float(probability)}, rows=tuple(rows[start:end])
        )
        for sample, probability, start, end in zip(scored.samples, whole, scored.starts, ends, strict=True)
    ]
