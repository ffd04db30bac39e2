"""What the exporter's work on the graph is worth: the raw tf2onnx conversion of the same weights, by turns.

Both run on one thread, and the processor time of it is compared, which other processes disturb least.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from timeit import timeit

import numpy as np
import onnxruntime as ort

from benchmarks.engine.requests import of_pictures
from benchmarks.material.media import photo
from benchmarks.report.figures import milliseconds, ratio
from benchmarks.report.tables import Table
from benchmarks.yardstick.sample import TOLERANCE
from benchmarks.yardstick.session import Feeds, one_thread
from server.engine.batch import assemble, empty_rows
from server.engine.session import Session


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds, one entry a round.

    Attributes:
        raw, ours: of one picture.
        raw_load, ours_load: from the file to a session.
        empty: of our graph without any row.
    """

    raw: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    raw_load: list[float] = field(default_factory=list)
    ours_load: list[float] = field(default_factory=list)
    empty: list[float] = field(default_factory=list)


def compare(raw: Path, model: Path, rounds: int) -> Compared:
    """Loads and runs both on the same picture.

    Args:
        raw: with an input `rows` uint8 [N, H, W, 3] and an output `logit`.
        model: the detector that was exported from the same weights.

    Raises:
        RuntimeError: they do not answer the same.
    """
    manifest = Session(model, "cpu").manifest
    frame = photo(manifest.width, manifest.height, 0)
    theirs, ours = one_thread(raw), one_thread(model)
    feeds = assemble([of_pictures(manifest, frame[None])], manifest)
    nothing = assemble([empty_rows(manifest)], manifest)
    rows: Feeds = {"rows": frame[None]}
    _check(theirs.run(["logit"], rows)[0], ours.run(["image_probability"], feeds)[0])
    compared = Compared()
    for number in range(rounds):
        compared.raw.append(_thread_seconds(theirs, rows))
        compared.ours.append(_thread_seconds(ours, feeds))
        compared.empty.append(_thread_seconds(ours, nothing))
        if number % 10 == 0:
            compared.raw_load.append(timeit(lambda: one_thread(raw), number=1))
            compared.ours_load.append(timeit(lambda: one_thread(model), number=1))
    return compared


def table(compared: Compared) -> Table:
    pairs = {
        "a picture": (compared.raw, compared.ours),
        "loading": (compared.raw_load, compared.ours_load),
    }
    rows = [
        [name, _median(raw), _median(ours), f"{ratio(raw, ours).median:.2f}"]
        for name, (raw, ours) in pairs.items()
    ]
    rows.append(["a run without rows", "", _median(compared.empty), ""])
    return Table(("one thread, median ms", "raw", "ours", "raw ÷ ours"), rows)


def _median(seconds: list[float]) -> str:
    return f"{milliseconds(seconds).median:.2f}"


def _thread_seconds(session: ort.InferenceSession, feeds: Feeds) -> float:
    return timeit(lambda: session.run(None, feeds), timer=time.thread_time, number=1)


def _check(logit: np.ndarray, probability: np.ndarray) -> None:
    difference = float(np.abs(1 / (1 + np.exp(-logit)) - probability).max())
    if not difference <= TOLERANCE:
        raise RuntimeError(f"the two graphs differ by {difference:.1e} in probability")
