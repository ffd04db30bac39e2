"""How good a detector is on labelled files: by file, by row, and by what the files differ in."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from rich.markup import escape
from rich.table import Table

from training.evaluation.judged import VOICES, JudgedFile, JudgedRow, Voice
from training.evaluation.metrics import METRICS, Estimate, Floats, Metric, estimate
from training.labels import UNCLEAR

Dimension = Literal["dataset", "manipulation", "compression"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
BRIEF = {name: METRICS[name] for name in ("auc", "eer", "accuracy")}
_SHOWN = (*BRIEF, "f1", "log_loss", "brier", "ece")

Estimates = dict[str, Estimate]


class Measured(BaseModel, frozen=True):
    """Metrics on a set of files.

    Attributes:
        files, fakes, rows: how many; rows that may be called either are left out.
        by_file: on the probabilities of whole files; what a user of the detector meets.
        by_row: on those of single frames, clips or windows; empty for the fused voice.
    """

    files: int
    fakes: int
    rows: int
    by_file: Estimates
    by_row: Estimates


class Evaluation(BaseModel, frozen=True):
    """Metrics of one voice on the files of one kind.

    Attributes:
        voice: the whole detector (fused) or one of its models.
        media: kind of the files; the image model also judges frames of videos.
        total: on all of them.
        slices: by dimension and value. A manipulation's fakes are measured against all real files;
            data sets and compressions hold their own real files.
    """

    voice: Voice
    media: str
    total: Measured
    slices: dict[Dimension, dict[str, Measured]]


def evaluate(
    files: Sequence[JudgedFile],
    metrics: Mapping[str, Metric] = METRICS,
    slice_metrics: Mapping[str, Metric] = BRIEF,
) -> list[Evaluation]:
    """One evaluation per kind of file and voice; files that a voice said nothing of do not count in it."""
    kinds = sorted({file.kind for file in files})
    return [
        _evaluate(spoken_of, voice, kind, metrics, slice_metrics)
        for kind in kinds
        for voice in VOICES
        if (spoken_of := [file for file, _ in heard(files, voice) if file.kind == kind])
    ]


def _evaluate(
    files: list[JudgedFile],
    voice: Voice,
    media: str,
    metrics: Mapping[str, Metric],
    slice_metrics: Mapping[str, Metric],
) -> Evaluation:
    slices: dict[Dimension, dict[str, Measured]] = {}
    for dimension in DIMENSIONS:
        parts = slices_of(files, dimension)
        # One slice that holds everything tells what the total tells.
        if len(parts) > 1 or dimension == "manipulation":
            slices[dimension] = {value: _measure(part, voice, slice_metrics) for value, part in parts.items()}
    return Evaluation(voice=voice, media=media, total=_measure(files, voice, metrics), slices=slices)


def slices_of(files: Sequence[JudgedFile], dimension: Dimension) -> dict[str, list[JudgedFile]]:
    """The files of each value of a dimension; of a manipulation its fakes and all real files."""
    if dimension == "manipulation":
        reals = [file for file in files if not file.label]
        fakes = [file for file in files if file.label]
        values = sorted({file.manipulation for file in fakes if file.manipulation})
        return {value: reals + [file for file in fakes if file.manipulation == value] for value in values}
    values = sorted({getattr(file, dimension) for file in files} - {""})
    return {value: [file for file in files if getattr(file, dimension) == value] for value in values}


def heard(files: Iterable[JudgedFile], voice: Voice) -> list[tuple[JudgedFile, float]]:
    """The files that a voice said something of, and what."""
    return [(file, probability) for file in files if (probability := file.probability(voice)) is not None]


def labels_and_scores(files: Iterable[JudgedFile], voice: Voice) -> tuple[NDArray[np.int64], Floats]:
    """Truth and probability of the files that a voice said something of: [F], [F]."""
    pairs = heard(files, voice)
    labels = np.asarray([file.label for file, _ in pairs], np.int64)
    return labels, np.asarray([probability for _, probability in pairs], np.float64)


def by_file(files: Sequence[JudgedFile], voice: Voice, metrics: Mapping[str, Metric]) -> Estimates:
    """Metrics on files that a voice said something of."""
    return estimate(*labels_and_scores(files, voice), [file.group for file in files], metrics)


def _measure(files: Sequence[JudgedFile], voice: Voice, metrics: Mapping[str, Metric]) -> Measured:
    clear = [
        (file, row) for file in files for row in file.rows if row.modality == voice and row.label != UNCLEAR
    ]
    return Measured(
        files=len(files),
        fakes=sum(file.label for file in files),
        rows=len(clear),
        by_file=by_file(files, voice, metrics),
        by_row=_by_row(clear, metrics) if clear else {},
    )


def _by_row(rows: Sequence[tuple[JudgedFile, JudgedRow]], metrics: Mapping[str, Metric]) -> Estimates:
    return estimate(
        [row.label for _, row in rows],
        [row.fake_probability for _, row in rows],
        [file.group for file, _ in rows],
        metrics,
    )


def as_table(evaluations: Sequence[Evaluation], title: str) -> Table:
    """For a terminal: files, their rows, then every slice."""
    table = Table(title=title, caption="In brackets: 95 % bootstrap intervals over groups of files")
    for heading in ("model", "measured on", "n", *_SHOWN):
        table.add_column(heading)
    for evaluation in evaluations:
        lines: list[tuple[str, str, Estimates]] = [
            (f"{evaluation.media} files", str(evaluation.total.files), evaluation.total.by_file)
        ]
        if evaluation.total.by_row:
            lines.append(("their rows", str(evaluation.total.rows), evaluation.total.by_row))
        for parts in evaluation.slices.values():
            lines += [(f"  {value}", str(part.files), part.by_file) for value, part in parts.items()]
        for on, count, metrics in lines:
            table.add_row(evaluation.voice, escape(on), count, *(_cell(metrics, name) for name in _SHOWN))
        table.add_section()
    return table


def _cell(metrics: Estimates, name: str) -> str:
    found = metrics.get(name)
    if found is None or found.value is None:
        return ""
    if name not in BRIEF or found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return escape(f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")


def as_json(evaluations: Iterable[Evaluation]) -> dict[str, Any]:
    """By kind of file; estimates are [value, low, high]. For one voice."""
    return {evaluation.media: evaluation.model_dump(mode="json") for evaluation in evaluations}


def from_json(stored: dict[str, Any]) -> list[Evaluation]:
    """Reads what `as_json` gave."""
    return [Evaluation.model_validate(entry) for entry in stored.values()]
