"""What the exporter's work on the graph is worth: the raw tf2onnx conversion of the same weights, by turns.

Both run on one thread, and the processor time of it is compared, which other processes disturb least.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from rich.table import Table

from benchmarks.material.media import photo
from benchmarks.yardstick.bare import Feeds
from server.engine.batch import Rows, assemble, empty_rows
from server.engine.session import Session

_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds, one entry a round.

    Attributes:
        raw, ours: of one picture.
        raw_load, ours_load: from the file to a session.
        empty: of our graph without any row.
    """

    raw: list[float]
    ours: list[float]
    raw_load: list[float]
    ours_load: list[float]
    empty: list[float]


def compare(raw: Path, model: Path, rounds: int) -> Compared:
    """Loads and runs both on the same picture.

    Args:
        raw: with an input `rows` uint8 [N, H, W, 3] and an output `logit`.
        model: the detector that was exported from the same weights.

    Raises:
        RuntimeError: they do not answer the same.
    """
    manifest = Session(model, "cpu").manifest
    frame = photo(manifest.width, manifest.height, 0)[None]
    empty = empty_rows(manifest)
    one = Rows(frame, np.zeros(1, np.int64), empty.clip_index, empty.audio, np.ones(3, np.float32))
    theirs, ours = _load(raw), _load(model)
    feeds, nothing = assemble([one], manifest), assemble([empty], manifest)
    _check(theirs.run(["logit"], {"rows": frame})[0], ours.run(["image_probability"], feeds)[0])
    compared = Compared([], [], [], [], [])
    for number in range(rounds):
        compared.raw.append(_thread_seconds(theirs, {"rows": frame}))
        compared.ours.append(_thread_seconds(ours, feeds))
        compared.empty.append(_thread_seconds(ours, nothing))
        if number % 10 == 0:
            compared.raw_load.append(_seconds(lambda: _load(raw)))
            compared.ours_load.append(_seconds(lambda: _load(model)))
    return compared


def rich_table(compared: Compared) -> Table:
    table = Table("one thread, median ms", "raw", "ours", "raw ÷ ours")
    milliseconds = {
        "a picture": (compared.raw, compared.ours),
        "loading": (compared.raw_load, compared.ours_load),
    }
    for name, (raw, ours) in milliseconds.items():
        ratio = statistics.median(one / other for one, other in zip(raw, ours, strict=True))
        table.add_row(name, _text(raw), _text(ours), f"{ratio:.2f}")
    table.add_row("a run without rows", "", _text(compared.empty), "")
    return table


def _text(seconds: list[float]) -> str:
    return f"{1000 * statistics.median(seconds):.2f}"


def _load(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _thread_seconds(session: ort.InferenceSession, feeds: Feeds) -> float:
    start = time.thread_time()
    session.run(None, feeds)
    return time.thread_time() - start


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _check(logit: np.ndarray, probability: np.ndarray) -> None:
    difference = float(np.abs(1 / (1 + np.exp(-logit)) - probability).max())
    if not difference <= _TOLERANCE:
        raise RuntimeError(f"the two graphs differ by {difference:.1e} in probability")
