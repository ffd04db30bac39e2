"""The plots of a report, each as a PNG."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluation.judged import VOICES, JudgedFile, Voice
from training.evaluation.measure import Measured, labels_and_scores
from training.evaluation.metrics import Floats, area_under_roc, average_precision, roc_points
from training.evaluation.operating import Operation, coverage_curve
from training.evaluation.results import Robust

REAL, FAKE, NEUTRAL = "#2a6f97", "#c1121f", "#6c757d"
_COLOURS: dict[Voice, str] = {"fused": "#212529", "image": "#e07a1f", "video": "#6a4c93", "audio": "#2f9e44"}
_SIZE = (4.6, 3.8)
_BINS = 10


def roc(files: Sequence[JudgedFile], operation: Operation) -> bytes:
    """True- against false-positive rate of every voice, with the operating points of the fused one."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=NEUTRAL, linewidth=0.8, linestyle=":")
        for voice, labels, scores in _voices(files):
            false, true = roc_points(labels, scores)
            area = area_under_roc(labels, scores)
            axes.plot(
                false / false[-1], true / true[-1], color=_COLOURS[voice], label=f"{voice}, AUC {area:.3f}"
            )
        false_rates = [point.false_positive_rate for point in operation.points]
        recalls = [point.recall for point in operation.points]
        axes.scatter(false_rates, recalls, s=18, color=_COLOURS["fused"], zorder=3)
        _finish(axes, "false-positive rate", "true-positive rate")

    return _png(draw)


def precision_recall(files: Sequence[JudgedFile]) -> bytes:
    """Precision against recall of every voice."""

    def draw(axes: Axes) -> None:
        for voice, labels, scores in _voices(files):
            false, true = roc_points(labels, scores)
            precision = np.append(1.0, true[1:] / (true[1:] + false[1:]))
            average = average_precision(labels, scores)
            axes.step(
                true / true[-1],
                precision,
                where="pre",
                color=_COLOURS[voice],
                label=f"{voice}, AP {average:.3f}",
            )
        _finish(axes, "recall", "precision")

    return _png(draw)


def reliability(files: Sequence[JudgedFile]) -> bytes:
    """How often files of a score are fake, for every voice; dots are as large as bins are full."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=NEUTRAL, linewidth=0.8, linestyle=":")
        for voice, labels, scores in _voices(files):
            bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
            filled = np.unique(bins)
            means = [scores[bins == number].mean() for number in filled]
            rates = [labels[bins == number].mean() for number in filled]
            sizes = [8 + 120 * np.mean(bins == number) for number in filled]
            axes.plot(means, rates, color=_COLOURS[voice], linewidth=1, label=voice)
            axes.scatter(means, rates, s=sizes, color=_COLOURS[voice])
        _finish(axes, "predicted probability of fake", "share of fakes")

    return _png(draw)


def histogram(files: Sequence[JudgedFile], thresholds: tuple[float, float] | None) -> bytes:
    """Fused scores of real and of fake files, and the thresholds between verdicts."""

    def draw(axes: Axes) -> None:
        labels, scores = labels_and_scores(files, "fused")
        edges = np.linspace(0, 1, 31).tolist()
        for label, name, colour in ((0, "real", REAL), (1, "fake", FAKE)):
            axes.hist(scores[labels == label], edges, color=colour, alpha=0.55, label=name)
        for threshold in thresholds or ():
            axes.axvline(threshold, color=NEUTRAL, linewidth=1, linestyle="--")
        axes.set_xlim(0, 1)
        axes.set_xlabel("fused probability of fake")
        axes.set_ylabel("files")
        axes.legend(frameon=False)

    return _png(draw)


def confusion(verdicts: Mapping[str, Mapping[str, int]]) -> bytes:
    """Counts by truth and verdict; shading is the share of each truth."""
    columns = ["REAL", "INCONCLUSIVE", "FAKE"]
    columns += ["FAILED"] if any("FAILED" in counts for counts in verdicts.values()) else []

    def draw(axes: Axes) -> None:
        truths = [truth for truth in ("real", "fake") if verdicts.get(truth)]
        counts = np.array([[verdicts[truth].get(column, 0) for column in columns] for truth in truths])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), share in np.ndenumerate(shares):
            text = f"{counts[row, column]}\n{share:.0%}"
            axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.6 else "black")
        axes.set_xticks(range(len(columns)), columns, fontsize=8)
        axes.set_yticks(range(len(truths)), truths)
        axes.set_xlabel("verdict")
        axes.set_ylabel("truth")

    return _png(draw)


def coverage(files: Sequence[JudgedFile], operation: Operation) -> bytes:
    """Error among the files that get a verdict, for every share of files that do."""

    def draw(axes: Axes) -> None:
        for voice, labels, scores in _voices(files):
            axes.plot(*coverage_curve(labels, scores), color=_COLOURS[voice], label=voice)
        if operation.band.error is not None:
            axes.scatter([operation.band.coverage], [operation.band.error], color=_COLOURS["fused"], zorder=3)
        _finish(axes, "coverage: share of files with a verdict", "share of wrong verdicts")

    return _png(draw)


def slices(parts: Mapping[str, Measured]) -> bytes:
    """AUC of each slice with its interval."""
    measured = [(name, part.by_file["auc"]) for name, part in parts.items()]
    known = [(name, found, found.value) for name, found in measured if found.value is not None]

    def draw(axes: Axes) -> None:
        places = np.arange(len(known))[::-1]
        for place, (_, found, value) in zip(places, known, strict=True):
            if found.low is not None and found.high is not None:
                axes.plot([found.low, found.high], [place, place], color=_COLOURS["fused"], linewidth=1)
            axes.scatter([value], [place], color=_COLOURS["fused"], s=22)
        axes.axvline(0.5, color=NEUTRAL, linewidth=0.8, linestyle=":")
        axes.set_yticks(places, [name for name, *_ in known], fontsize=8)
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("AUC, 95 % interval")

    return _png(draw, (4.6, max(1.6, 0.9 + 0.28 * len(known))))


def robustness(entries: Iterable[Robust]) -> bytes:
    """AUC against the level of each perturbation, from the files that were only encoded again."""
    by_name: dict[str, list[tuple[int, float]]] = {}
    for entry in entries:
        if (value := entry.metrics["auc"].value) is not None:
            by_name.setdefault(entry.perturbation, []).append((entry.level, value))
    start = by_name.pop("none", [])

    def draw(axes: Axes) -> None:
        axes.axhline(0.5, color=NEUTRAL, linewidth=0.8, linestyle=":")
        for name, points in by_name.items():
            axes.plot(*zip(*start, *points, strict=True), marker="o", markersize=3, label=name)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("level, mild to strong")
        axes.set_ylabel("AUC of the fused verdict")
        axes.legend(frameon=False, fontsize=8, ncols=2)

    return _png(draw)


def spectrogram(decibels: NDArray[np.floating], seconds: float) -> bytes:
    """A mel spectrogram [bands, frames] in decibels."""

    def draw(axes: Axes) -> None:
        axes.imshow(
            decibels, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, len(decibels))
        )
        axes.set_xlabel("seconds")
        axes.set_ylabel("mel band")

    return _png(draw, (3.2, 2.2))


def _voices(files: Sequence[JudgedFile]) -> list[tuple[Voice, NDArray[np.int64], Floats]]:
    """Labels and scores of the voices that met both classes; a lone model says what the fused one says."""
    found = [(voice, *labels_and_scores(files, voice)) for voice in VOICES]
    found = [(voice, labels, scores) for voice, labels, scores in found if len(np.unique(labels)) == 2]
    return found[:1] if len(found) == 2 and found[0][0] == "fused" else found


def _finish(axes: Axes, across: str, up: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.legend(frameon=False, fontsize=8)


def _png(draw: Callable[[Axes], None], size: tuple[float, float] = _SIZE) -> bytes:
    # Not through pyplot, which keeps every figure alive and wants a display.
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes: Any = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    out = BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
