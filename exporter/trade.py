"""What another precision gains and costs: time, probabilities, area under the ROC curve."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from exporter.evidence import File
from exporter.parity import feed, open_graph, run_graph
from server.engine.manifest import MODALITIES, Change, Manifest, Precision
from server.errors import InvalidModel
from training.evaluation.metrics import area_under_roc

AUC_LOSS = 0.005
"""Of any modality, that is accepted for speed."""
SPEED_UP = 1.1
"""Less is not worth it."""
_ROUNDS = 15

Graphs = Mapping[Precision, bytes]
Changes = dict[Precision, dict[str, Change]]


def measure_change(graphs: Graphs, manifest: Manifest, files: Iterable[File]) -> Changes:
    """Judges every file with every graph, and compares with fp32, by precision and modality.

    Raises:
        InvalidModel: a graph fails, or there is no file for a modality.
    """
    sessions = {precision: open_graph(graph) for precision, graph in graphs.items()}
    answers: dict[tuple[Precision, str], list[float]] = defaultdict(list)
    labels: dict[str, list[int | None]] = {name: [] for name in manifest.modalities}
    for file in files:
        inputs = feed(manifest, file.rows)
        for name in file.rows:
            labels[name].append(file.label)
        for precision, session in sessions.items():
            (probabilities,) = run_graph(session, ["modality_probability"], inputs)
            if not np.isfinite(probabilities).all():
                raise InvalidModel(
                    f"{precision} gives no number for some file", f"Export without {precision}."
                )
            for name in file.rows:
                answers[precision, name].append(float(probabilities[0, MODALITIES.index(name)]))
    for name, known in labels.items():
        if not known:
            raise InvalidModel(
                f"there is no file to compare the precisions of the {name} model on",
                "Add some to the test split of --data-dir, or leave --data-dir out.",
            )
    return {
        precision: {
            name: _change(known, answers["fp32", name], answers[precision, name])
            for name, known in labels.items()
        }
        for precision in graphs
        if precision != "fp32"
    }


def _change(labels: list[int | None], before: list[float], after: list[float]) -> Change:
    differences = np.abs(np.subtract(after, before))
    areas: dict[str, float] = {}
    known = [label for label in labels if label is not None]
    # Of one set of files, all have a label or none.
    if set(known) == {0, 1}:
        areas = {"auc": area_under_roc(known, after), "auc_before": area_under_roc(known, before)}
    return Change(
        files=len(labels), mean=float(differences.mean()), largest=float(differences.max()), **areas
    )


def measure_speed(
    graphs: Graphs, manifest: Manifest, rows: Mapping[str, NDArray[np.generic]]
) -> dict[Precision, dict[str, float]]:
    """Seconds of one row on one thread of this CPU, by precision and modality; medians, taken by turns."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {precision: open_graph(graph, options) for precision, graph in graphs.items()}
    seconds: dict[Precision, dict[str, float]] = {precision: {} for precision in graphs}
    for modality in manifest.modalities:
        inputs = feed(manifest, {modality: rows[modality][:1]})
        taken: dict[Precision, list[float]] = {precision: [] for precision in graphs}
        for _ in range(_ROUNDS):
            for precision, session in sessions.items():
                start = time.perf_counter()
                run_graph(session, ["fake_probability"], inputs)
                taken[precision].append(time.perf_counter() - start)
        for precision, times in taken.items():
            seconds[precision][modality] = float(np.median(times))
    return seconds


def pays(changes: Mapping[str, Change], speed_up: float) -> bool:
    """Whether a precision is worth its cost; never without labelled files, which alone can tell it."""
    losses = [
        change.auc_before - change.auc
        for change in changes.values()
        if change.auc is not None and change.auc_before is not None
    ]
    return len(losses) == len(changes) and max(losses) <= AUC_LOSS and speed_up >= SPEED_UP
