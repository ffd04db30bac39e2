"""Everything that an evaluation found, for people's spreadsheets and for programs."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel

from training.evaluation.effort import Effort
from training.evaluation.measure import Estimates, Evaluation, Measured
from training.evaluation.operating import Operation


class Robust(BaseModel, frozen=True):
    """What one perturbation at one level leaves of the fused verdict on one kind of file.

    Attributes:
        level: 0 for files that were only decoded and encoded again; then 1 (mild) and up.
        setting: what the level means, such as "quality 50".
        metrics: AUC, EER, accuracy.
    """

    media: str
    perturbation: str
    level: int
    setting: str
    files: int
    metrics: Estimates


class Results(BaseModel, frozen=True):
    """One detector on one set of files.

    Attributes:
        judge: what was measured.
        data: folders, or the table of predictions.
        files, failed: how many were asked about, and those without an answer: path → reason.
    """

    judge: str
    data: list[str]
    split: str
    files: int
    failed: dict[str, str]
    evaluations: list[Evaluation]
    operations: list[Operation]
    robustness: list[Robust] = []
    effort: list[Effort] = []


def write_json(path: Path, results: Results) -> None:
    path.write_text(results.model_dump_json(indent=1) + "\n", encoding="utf-8")


def write_csv(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """One line for each voice, kind of file, slice and level (file or row); empty where it has no value."""
    lines = list(_lines(evaluations))
    columns = list(dict.fromkeys(name for line in lines for name in line))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


def _lines(evaluations: Sequence[Evaluation]) -> Iterator[dict[str, object]]:
    for evaluation in evaluations:
        parts: list[tuple[str, str, Measured]] = [("all", "all", evaluation.total)]
        parts += [
            (dimension, value, measured)
            for dimension, slices in evaluation.slices.items()
            for value, measured in slices.items()
        ]
        for dimension, value, measured in parts:
            about: dict[str, object] = {"voice": evaluation.voice, "media": evaluation.media}
            about |= {"slice": dimension, "value": value}
            files: dict[str, object] = {
                "count": measured.files,
                "files": measured.files,
                "fakes": measured.fakes,
            }
            yield about | {"level": "file"} | files | _numbers(measured.by_file)
            if measured.by_row:
                yield about | {"level": "row"} | files | {"count": measured.rows} | _numbers(measured.by_row)


def _numbers(estimates: Estimates) -> dict[str, object]:
    numbers: dict[str, object] = {}
    for name, found in estimates.items():
        numbers |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return numbers
