"""The engine in this process against bare sessions of the same graph, by turns: no network, no decoding.

For machines with a GPU, too: give the provider, and the files of one model in several precisions.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

import numpy as np
from rich.table import Table

from benchmarks.material.media import photo
from benchmarks.report.figures import figure, percentile
from benchmarks.yardstick.bare import BareSession, Layout, closed_loop, layouts
from server.engine.batch import Rows, Scores, empty_rows
from server.engine.engine import Engine
from server.engine.layout import divide_cores
from server.engine.providers import Wish, candidates, usable_cores
from server.engine.session import Session

CLIENTS = (1, 2, 8, 32, 128)
DIFFERENT_ROWS = 64
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "int8": 2e-2}
_FAR = 3600.0


@dataclass(slots=True)
class Measured:
    """Of one file: rates in rows a second, latencies in seconds, one entry a round.

    Attributes:
        bare: by layout.
        engine, latencies: by clients.
        wrong: answers of the engine that differ from the bare session's.
    """

    name: str
    provider: str
    bare: dict[str, list[float]] = field(default_factory=dict)
    engine: dict[int, list[float]] = field(default_factory=dict)
    latencies: dict[int, list[float]] = field(default_factory=dict)
    wrong: int = 0


def measure(model: Path, wish: Wish, rounds: int, seconds: float, report: Callable[[str], None]) -> Measured:
    """Measures bare sessions in several layouts and the engine under several numbers of clients.

    Raises:
        ModelError, EngineFailed: the graph does not run on the provider.
    """
    session = Session(model, wish)
    manifest = session.manifest
    frames = np.stack([photo(manifest.width, manifest.height, seed) for seed in range(DIFFERENT_ROWS)])
    provider = next(each for each in candidates(wish) if each.name == session.provider.name)
    measured = Measured(f"{model.name} ({manifest.precision})", provider.name)
    bare = {
        str(layout): BareSession(model, (provider.name, provider.options), layout, frames)
        for layout in (layouts(usable_cores()) if provider.on_cpu else _device_layouts())
    }
    expected = next(iter(bare.values())).probabilities()
    requests = [_request(session, frame) for frame in frames]
    layout = divide_cores(session)
    engine = Engine(layout.session, layout.workers, lone=layout.lone)
    try:
        for number in range(rounds):
            for name, ceiling in bare.items():
                report(f"{measured.name}, round {number + 1} of {rounds}: bare session, {name}")
                runs = closed_loop(ceiling.run, ceiling.layout.callers, seconds, seconds / 5)
                measured.bare.setdefault(name, []).append(len(runs) * ceiling.layout.rows / seconds)
            for clients in CLIENTS:
                report(f"{measured.name}, round {number + 1} of {rounds}: engine, {clients} clients")
                loop = _Loop(engine, requests, seconds)
                latencies, answers = loop.run(clients)
                measured.engine.setdefault(clients, []).append(len(latencies) / seconds)
                measured.latencies.setdefault(clients, []).extend(latencies)
                tolerance = TOLERANCE[manifest.precision]
                measured.wrong += sum(abs(given - expected[row]) > tolerance for row, given in answers)
    finally:
        engine.close()
    return measured


def rich_table(measured: Measured) -> Table:
    table = Table("", title=f"{measured.name} on {measured.provider}, {usable_cores()} cores")
    for heading in ("rows/s", "÷ best bare", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    best = max(measured.bare.values(), key=lambda rates: figure(rates).median)
    for name, rates in measured.bare.items():
        table.add_row(f"bare session, {name}", str(figure(rates)), _ratio(rates, best))
    for clients, rates in measured.engine.items():
        latencies = measured.latencies[clients]
        points = [f"{1000 * percentile(latencies, percent):.1f}" for percent in (50, 99)]
        table.add_row(f"engine, {clients} clients", str(figure(rates)), _ratio(rates, best), *points)
    return table


def _ratio(rates: list[float], best: list[float]) -> str:
    ratio = figure([rate / top for rate, top in zip(rates, best, strict=True)])
    return f"{ratio.median:.2f} ±{ratio.half_spread:.2f}"


def _device_layouts() -> list[Layout]:
    return [Layout(1, callers, rows) for rows in (1, 8, 32, 64) for callers in (1, 2)]


def _request(session: Session, frame: np.ndarray) -> Rows:
    empty = empty_rows(session.manifest)
    weights = np.array([1, 0, 0], np.float32)
    return Rows(frame[None], np.zeros(1, np.int64), empty.clip_index, empty.audio, weights)


class _Loop:
    """Clients that ask again as soon as they are answered, without threads of their own."""

    def __init__(self, engine: Engine, requests: list[Rows], seconds: float) -> None:
        self._engine, self._requests = engine, requests
        self._start = time.perf_counter() + seconds / 5
        self._end = self._start + seconds
        self._lock, self._done = Lock(), Event()
        self._asked = self._running = 0
        self._latencies: list[float] = []
        self._answers: list[tuple[int, float]] = []

    def run(self, clients: int) -> tuple[list[float], list[tuple[int, float]]]:
        """Latencies of the answers within the time, and all answers with the number of their row."""
        self._running = clients
        for _ in range(clients):
            self._ask()
        self._done.wait()
        return self._latencies, self._answers

    def _ask(self) -> None:
        with self._lock:
            number = self._asked % len(self._requests)
            self._asked += 1
        asked = time.perf_counter()
        future = self._engine.submit(self._requests[number], time.monotonic() + _FAR)
        future.add_done_callback(lambda answered: self._answered(answered, number, asked))

    def _answered(self, future: "Future[Scores]", number: int, asked: float) -> None:
        now = time.perf_counter()
        self._answers.append((number, future.result().fake_probability))
        if self._start <= now < self._end:
            self._latencies.append(now - asked)
        if now < self._end:
            self._ask()
            return
        with self._lock:
            self._running -= 1
            if not self._running:
                self._done.set()
