"""Results and judgements → one HTML page that needs nothing beside it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.evaluation.judge import Judge
from training.evaluation.judged import JudgedFile
from training.evaluation.measure import Estimates, Evaluation, Measured
from training.evaluation.operating import Operation
from training.evaluation.results import Results
from training.html import render_page
from training.report import plots
from training.report.mistakes import worst_mistakes

_SLICE_METRICS = ("auc", "eer", "accuracy", "recall")


def write_report(
    path: Path, title: str, results: Results, judged: Sequence[JudgedFile], judge: Judge | None = None
) -> None:
    """Writes the page.

    Args:
        judge: for the class-activation maps of the worst errors; left out without one.
    """
    names = list(dict.fromkeys(n for e in results.evaluations for n in e.total.by_file))
    page = render_page(
        "training.report",
        title=title,
        results=results,
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        names=names,
        slice_names=_SLICE_METRICS,
        sections=[
            _section(media, results, [file for file in judged if file.kind == media], judge)
            for media in dict.fromkeys(evaluation.media for evaluation in results.evaluations)
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _section(
    media: str, results: Results, files: Sequence[JudgedFile], judge: Judge | None
) -> dict[str, Any]:
    """What the template shows of one kind of file."""
    evaluations = [evaluation for evaluation in results.evaluations if evaluation.media == media]
    operation = next((found for found in results.operations if found.media == media), None)
    robust = [entry for entry in results.robustness if entry.media == media]
    return {
        "media": media,
        "columns": _columns(evaluations),
        "operation": operation,
        "plots": _plots(files, operation),
        # Of the fused voice, which is the first.
        "slices": [
            (dimension, plots.slices(parts), parts)
            for dimension, parts in evaluations[0].slices.items()
            if _has_area(parts)
        ],
        "robustness": {
            name: [entry for entry in robust if entry.perturbation == name]
            for name in dict.fromkeys(entry.perturbation for entry in robust)
        },
        "robustness_plot": plots.robustness(robust) if robust else None,
        "effort": next((found for found in results.effort if found.media == media), None),
        "mistakes": worst_mistakes(files, judge),
    }


def _columns(evaluations: Sequence[Evaluation]) -> list[tuple[str, int, Estimates]]:
    """Heading, count and metrics: the files and then the rows of each voice."""
    found: list[tuple[str, int, Estimates]] = []
    for evaluation in evaluations:
        total = evaluation.total
        found.append((f"{evaluation.voice}: files", total.files, total.by_file))
        if total.by_row:
            found.append((f"{evaluation.voice}: rows", total.rows, total.by_row))
    return found


def _plots(files: Sequence[JudgedFile], operation: Operation | None) -> list[tuple[str, bytes]]:
    """Without both real and fake files there is nothing to plot against each other."""
    if operation is None:
        return [("Scores", plots.histogram(files, None))]
    band = operation.band
    return [
        ("ROC", plots.roc(files, operation)),
        ("Precision and recall", plots.precision_recall(files)),
        ("Reliability", plots.reliability(files)),
        ("Scores", plots.histogram(files, (band.real_threshold, band.fake_threshold))),
        ("Verdicts", plots.confusion(band.verdicts)),
        ("Coverage and error", plots.coverage(files, operation)),
    ]


def _has_area(parts: Mapping[str, Measured]) -> bool:
    return any(part.by_file["auc"].value is not None for part in parts.values())
