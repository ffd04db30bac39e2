"""One detector on labelled folders: judged, measured, perturbed, timed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import track

from training.decode import read_bytes
from training.errors import DataError
from training.evaluation.asvspoof import COSTS, min_tdcf, read_asv_errors
from training.evaluation.effort import measure_effort, summarise
from training.evaluation.judge import Judge, Task
from training.evaluation.judged import JudgedFile, unjudged, verdict_of
from training.evaluation.measure import Evaluation, evaluate
from training.evaluation.metrics import METRICS, Metric
from training.evaluation.operating import FALSE_POSITIVE_RATES, Operation, operate
from training.evaluation.results import Results
from training.evaluation.robustness import measure_robustness
from training.files import find_samples, limit_samples
from training.sample import Sample, Split

_FAILURES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure.

    Attributes:
        folders: data folders; the name of each is its data set's where its files name none.
        split: None for all files.
        max_samples: of every kind and folder, at most.
        robustness_files, effort_files: of every kind, for the robustness matrix and for time and memory.
        rates: false-positive rates to find thresholds for.
        asv_scores: the organisers' ASV scores, for min t-DCF.
        workers: processes that perturb.
    """

    folders: Sequence[Path]
    split: Split | None = "test"
    max_samples: int | None = None
    robustness_files: int = 0
    effort_files: int = 8
    rates: Sequence[float] = FALSE_POSITIVE_RATES
    asv_scores: Path | None = None
    workers: int = 1


@dataclass(frozen=True, slots=True)
class _File:
    """A sample and the folder that it lies in."""

    folder: Path
    sample: Sample

    def task(self) -> Task:
        path = self.folder / self.sample.path
        truth = unjudged(self.sample, str(path), self.folder.name)
        return Task(truth, read_bytes(path), self.sample.region, self.mask)

    @property
    def mask(self) -> Path | None:
        return self.folder / self.sample.mask if self.sample.mask else None


def evaluate_detector(judge: Judge, wanted: Wanted, console: Console) -> tuple[Results, list[JudgedFile]]:
    """Everything about one detector, and its answers.

    Thresholds are chosen on the validation split if the test split is measured.

    Raises:
        DataError: there are no such files or masks, or the detector could judge none of the files.
    """
    files = _files(wanted, wanted.split)
    if not files:
        folders = ", ".join(map(str, wanted.folders))
        raise DataError(f"there are no {wanted.split or 'media'} files in {folders}")
    held = _files(wanted, "val") if wanted.split == "test" else []
    _check_masks([*files, *held])
    metrics = _metrics(wanted.asv_scores)
    # First: a server remembers its verdicts on files that it has seen.
    effort = summarise(measure_effort(judge, (file.task() for file in _few(files, wanted.effort_files))))
    judged = _judge(judge, files, f"{wanted.split or 'all'} files", console)
    failed = {file.path: file.error for file in judged if file.error}
    _report_failed(failed, console)
    validation = _judge(judge, held, "validation files", console)
    results = Results(
        judge=judge.name,
        data=[str(folder) for folder in wanted.folders],
        split=wanted.split or "all",
        files=len(judged),
        failed=failed,
        evaluations=measure(judged, metrics),
        operations=operations(judged, validation, (judge.real_threshold, judge.fake_threshold), wanted.rates),
        robustness=measure_robustness(
            judge, [file.task for file in _few(files, wanted.robustness_files)], wanted.workers, console
        ),
        effort=effort,
    )
    return results, judged


def results_of_predictions(
    judged: Sequence[JudgedFile], table: Path, limits: tuple[float, float], asv_scores: Path | None
) -> Results:
    """What a table of predictions tells, without its detector.

    Args:
        limits: the thresholds for REAL and for FAKE.

    Raises:
        DataError: nothing in it was judged, or a file would be REAL and FAKE.
    """
    if limits[0] > limits[1]:
        raise DataError(f"the threshold for REAL, {limits[0]:g}, is above that for FAKE, {limits[1]:g}")
    judged = [_by_limits(file, limits) for file in judged]
    return Results(
        judge="predictions",
        data=[str(table)],
        split="all",
        files=len(judged),
        failed={file.path: file.error for file in judged if file.error},
        evaluations=measure(judged, _metrics(asv_scores)),
        operations=operations(judged, [], limits),
    )


def _by_limits(file: JudgedFile, limits: tuple[float, float]) -> JudgedFile:
    """The verdict that these thresholds give, whatever the detector had when it was asked."""
    if file.fake_probability is None:
        return file
    return file.answered(verdict=verdict_of(file.fake_probability, *limits))


def _metrics(asv_scores: Path | None) -> dict[str, Metric]:
    """All metrics, the challenges' costs among them.

    Raises:
        DataError: the ASV scores are none, or t-DCF is not defined for them.
    """
    metrics: dict[str, Metric] = METRICS | COSTS
    if asv_scores is not None:
        metrics["min_tdcf"] = min_tdcf(read_asv_errors(asv_scores))
    return metrics


def measure(judged: Sequence[JudgedFile], metrics: Mapping[str, Metric]) -> list[Evaluation]:
    """These metrics for every voice, kind of file and slice.

    Raises:
        DataError: nothing was judged.
    """
    evaluations = evaluate(judged, metrics, metrics)
    if not evaluations:
        raise DataError("none of the files could be judged")
    return evaluations


def operations(
    judged: Sequence[JudgedFile],
    validation: Sequence[JudgedFile],
    limits: tuple[float, float],
    rates: Sequence[float] = FALSE_POSITIVE_RATES,
) -> list[Operation]:
    """Thresholds and the inconclusive band for every kind of file that has both classes."""
    found = [
        operate(
            kind,
            [file for file in judged if file.kind == kind],
            [file for file in validation if file.kind == kind],
            limits,
            rates,
        )
        for kind in sorted({file.kind for file in judged})
    ]
    return [operation for operation in found if operation is not None]


def _files(wanted: Wanted, split: Split | None) -> list[_File]:
    found: dict[Path, _File] = {}
    for folder in wanted.folders:
        samples = [sample for sample in find_samples(folder) if split in (None, sample.split)]
        for sample in limit_samples(samples, wanted.max_samples):
            # A video whose sound is listed as well is one file to a detector.
            found.setdefault(folder / sample.path, _File(folder, sample))
    return list(found.values())


def _check_masks(files: Iterable[_File]) -> None:
    """Raises DataError if a folder has none of its masks: figures without all that have one mislead."""
    masks: dict[Path, list[Path]] = {}
    for file in files:
        if file.mask:
            masks.setdefault(file.folder, []).append(file.mask)
    for folder, named in masks.items():
        if not any(map(os.path.isfile, named)):  # Path's raises where it cannot look
            raise DataError(f"no mask that {folder} lists is there: {named[0]}")


def _few(files: Sequence[_File], count: int) -> list[_File]:
    """So many of each kind, real and fake in turns as far as they go."""
    chosen: list[_File] = []
    for kind in sorted({file.sample.modality for file in files}):
        of_kind = [file for file in files if file.sample.modality == kind]
        by_label = [[file for file in of_kind if file.sample.label == label] for label in (0, 1)]
        pairs = chain.from_iterable(zip(*by_label, strict=False))
        rest = chain.from_iterable(side[min(map(len, by_label)) :] for side in by_label)
        chosen += list(chain(pairs, rest))[:count]
    return chosen


def _judge(judge: Judge, files: Sequence[_File], title: str, console: Console) -> list[JudgedFile]:
    answers = judge.judge(file.task() for file in files)
    judged = track(answers, title, total=len(files), transient=True, console=console)
    # Answers come as they are ready; in the table, files have the same order every time.
    return sorted(judged, key=lambda file: file.path)


def _report_failed(failed: dict[str, str], console: Console) -> None:
    if not failed:
        return
    console.print(f"{len(failed)} files could not be judged:", style="yellow", markup=False)
    for path, reason in list(failed.items())[:_FAILURES_SHOWN]:
        console.print(f"  {path}: {reason}", markup=False)
