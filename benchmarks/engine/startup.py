"""Seconds from the start of the server's process until it is ready, with and without a cache of graphs."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.report.figures import figure
from benchmarks.report.tables import Table
from benchmarks.report.turns import Report, by_turns
from benchmarks.serving import of_model, serving

WITHOUT, FIRST, LATER = "without a cache", "first start, cache empty", "later starts"


def measure(model: Path, rounds: int, report: Report) -> dict[str, list[float]]:
    """Starts a server of `.../<name>/<version>/model.onnx` in each way, by turns.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    seconds: dict[str, list[float]] = {WITHOUT: [], FIRST: [], LATER: []}
    for _, tell in by_turns(rounds, report):
        with tempfile.TemporaryDirectory() as folder:
            cached = ("--graph-cache-dir", folder)
            for way, flags in ((WITHOUT, ("--no-graph-cache",)), (FIRST, cached), (LATER, cached)):
                tell(way)
                seconds[way].append(_start(model, *flags))
    return seconds


def _start(model: Path, *flags: str) -> float:
    begun = time.perf_counter()
    with serving(*of_model(model), *flags):
        return time.perf_counter() - begun


def table(seconds: Mapping[str, Sequence[float]]) -> Table:
    rounds = len(seconds[LATER])
    rows = [[way, f"{figure(samples):.2f}"] for way, samples in seconds.items()]
    return Table(("start to SERVING", f"seconds, median of {rounds}"), rows)
