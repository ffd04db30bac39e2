"""How good a model is on files that it has not seen: per file, per row, per operator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from rich.markup import escape
from rich.table import Table

from training.batches import predict_logits
from training.calibrate import Calibration
from training.metrics import Estimate, estimate
from training.rows import UNCLEAR, RowTable
from training.sample import Sample, Split
from training.settings import Modality

_OPERATOR_METRICS = ("auc", "eer", "accuracy")
_SHOWN = (*_OPERATOR_METRICS, "log_loss", "brier", "ece")


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


class Evaluation(BaseModel):
    """Metrics of one model on the files of one kind.

    Attributes:
        modality: of the model.
        media: kind of the files; the image model also judges frames of videos.
        by_file: on aggregated, calibrated probabilities; what a user of the detector meets.
        by_row: on the calibrated probabilities of single frames, clips or windows.
        operators: per operator, its fakes against all real files.
    """

    model_config = ConfigDict(frozen=True)

    modality: Modality
    media: str
    files: int
    rows: int
    by_file: dict[str, Estimate]
    by_row: dict[str, Estimate]
    operators: dict[str, dict[str, Estimate]]


def score_files(model: keras.Model, table: RowTable, split: Split | None, batch_size: int = 32) -> FileLogits:
    """The model's logits on every row of a split, or of all files."""
    files = table.files(split)
    rows = table.rows(files)
    counts = table.counts(files)
    return FileLogits(
        samples=[table.samples[file] for file in files],
        logits=predict_logits(model, table, rows, batch_size),
        labels=table.labels[rows],
        starts=np.cumsum(counts) - counts,
    )


def evaluate(scored: FileLogits, calibration: Calibration, modality: Modality) -> list[Evaluation]:
    """One evaluation per kind of file."""
    kinds = sorted({sample.modality for sample in scored.samples}, key=lambda k: k != modality)
    return [_evaluate_kind(scored, calibration, modality, kind) for kind in kinds]


def _evaluate_kind(
    scored: FileLogits, calibration: Calibration, modality: Modality, media: str
) -> Evaluation:
    of_kind = np.asarray([sample.modality == media for sample in scored.samples])
    samples = [sample for sample in scored.samples if sample.modality == media]
    files = calibration.probability(calibration.aggregate(scored.logits, scored.starts))[of_kind]
    counts = np.diff(np.append(scored.starts, len(scored.logits)))
    file_of_row = np.repeat(np.arange(len(scored.samples)), counts)
    clear = of_kind[file_of_row] & (scored.labels != UNCLEAR)
    row_groups = [scored.samples[file].group for file in file_of_row[clear]]
    return Evaluation(
        modality=modality,
        media=media,
        files=len(samples),
        rows=int(of_kind[file_of_row].sum()),
        by_file=estimate([s.label for s in samples], files, [s.group for s in samples]),
        by_row=estimate(scored.labels[clear], calibration.probability(scored.logits[clear]), row_groups),
        operators=_by_operator(samples, files),
    )


def _by_operator(
    samples: Sequence[Sample], probabilities: NDArray[np.float64]
) -> dict[str, dict[str, Estimate]]:
    found = {}
    for operator in sorted({sample.manipulation for sample in samples if sample.label == 1}):
        compared = [i for i, s in enumerate(samples) if s.label == 0 or s.manipulation == operator]
        chosen = [samples[index] for index in compared]
        found[operator] = estimate(
            [sample.label for sample in chosen],
            probabilities[compared],
            [sample.group for sample in chosen],
            _OPERATOR_METRICS,
        )
    return found


def as_table(evaluations: Sequence[Evaluation], title: str) -> Table:
    """For a terminal: file level, row level, then every operator against the real files."""
    table = Table(title=title, caption="In brackets: 95 % bootstrap intervals over groups of files")
    for heading in ("model", "measured on", "n", *_SHOWN):
        table.add_column(heading)
    for evaluation in evaluations:
        lines: list[tuple[str, str, dict[str, Estimate]]] = [
            (f"{evaluation.media} files", str(evaluation.files), evaluation.by_file),
            ("their rows", str(evaluation.rows), evaluation.by_row),
            *((f"  {operator}", "", metrics) for operator, metrics in evaluation.operators.items()),
        ]
        for on, count, metrics in lines:
            table.add_row(
                evaluation.modality, on, count, *(_cell(metrics.get(name), name) for name in _SHOWN)
            )
        table.add_section()
    return table


def _cell(found: Estimate | None, name: str) -> str:
    if found is None or found.value is None:
        return ""
    if name not in _OPERATOR_METRICS or found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return escape(f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")


def as_json(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Of one model, by kind of file; estimates are [value, low, high]."""
    return {evaluation.media: evaluation.model_dump(mode="json") for evaluation in evaluations}


def from_json(stored: dict[str, Any]) -> list[Evaluation]:
    """Reads what `as_json` gave."""
    return [Evaluation.model_validate(entry) for entry in stored.values()]
