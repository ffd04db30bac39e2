"""The engine in this process against bare sessions of the same graph, by turns: no network, no decoding.

For machines with a GPU, too: give the provider, and the files of one model in several precisions.
"""

import gc
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

from benchmarks.engine.requests import of_pictures
from benchmarks.material.media import photo_rows
from benchmarks.report.figures import best, percentiles_ms
from benchmarks.report.tables import Table, rate_rows
from benchmarks.report.turns import Report, about, by_turns
from benchmarks.yardstick.bare import bare_sessions
from benchmarks.yardstick.sample import TOLERANCES, wrong_answers
from server.engine.batch import Rows, Scores
from server.engine.cores import usable_cores
from server.engine.engine import Engine
from server.engine.layout import divide_cores
from server.engine.providers import Wish
from server.engine.session import Session
from server.urgency import NOT_URGENT

LOADS = ((1, 1), (2, 1), (8, 1), (32, 1), (128, 1), (32, 8))
"""Clients, and the rows of each of their requests."""
DIFFERENT_ROWS = 64


@dataclass(slots=True)
class Measured:
    """Of one file: rates in rows a second, latencies in seconds, one entry a round.

    Attributes:
        bare: by layout.
        engine, latencies: by clients and rows.
        wrong: answers of the engine that differ from the bare session's, or from those to the request alone.
    """

    name: str
    provider: str
    bare: dict[str, list[float]] = field(default_factory=dict)
    engine: dict[str, list[float]] = field(default_factory=dict)
    latencies: dict[str, list[float]] = field(default_factory=dict)
    wrong: int = 0


def measure(model: Path, wish: Wish, rounds: int, seconds: float, report: Report) -> Measured:
    """Measures bare sessions in several layouts and the engine under several numbers of clients.

    Raises:
        ModelError, EngineFailed: the graph does not run on the provider.
    """
    session = Session(model, wish)
    manifest = session.manifest
    frames = photo_rows(manifest.height, manifest.width, DIFFERENT_ROWS)
    provider = session.provider
    measured = Measured(f"{model.name} ({manifest.precision})", provider.name)
    bare = bare_sessions(model, (provider.name, provider.options), frames)
    requests = {
        rows: [of_pictures(manifest, part) for part in frames.reshape(-1, rows, *frames.shape[1:])]
        for _, rows in LOADS
    }
    layout = divide_cores(session)
    engine = Engine(layout.session, layout.workers, lone=layout.lone)
    expected = {
        rows: [session.run([request])[0].fake_probability for request in some]
        for rows, some in requests.items()
    }
    expected[1] = next(iter(bare.values())).probabilities()
    # As the server does: a look at all that the imports made would stop everything for 40 ms each time.
    gc.freeze()
    try:
        for _, tell in by_turns(rounds, about(measured.name, report)):
            for name, ceiling in bare.items():
                tell(f"bare session, {name}")
                measured.bare.setdefault(name, []).append(ceiling.sample(seconds, seconds / 5).rate)
            for clients, rows in LOADS:
                load = f"{clients} clients" + (f", {rows} rows each" if rows > 1 else "")
                tell(f"engine, {load}")
                latencies, answers = _Loop(engine, requests[rows], seconds).run(clients)
                measured.engine.setdefault(load, []).append(rows * len(latencies) / seconds)
                measured.latencies.setdefault(load, []).extend(latencies)
                measured.wrong += wrong_answers(answers, expected[rows], TOLERANCES[manifest.precision])
    finally:
        engine.close()
    return measured


def table(measured: Measured) -> Table:
    top = measured.bare[best(measured.bare)]
    bare = {f"bare session, {name}": rates for name, rates in measured.bare.items()}
    engine = {f"engine, {load}": rates for load, rates in measured.engine.items()}
    times = [
        [f"{ms:.1f}" for ms in percentiles_ms(latencies, 50, 99)] for latencies in measured.latencies.values()
    ]
    rows = [[*row, "", ""] for row in rate_rows(bare, top)]
    rows += [[*row, *points] for row, points in zip(rate_rows(engine, top), times, strict=True)]
    title = f"{measured.name} on {measured.provider}, {usable_cores()} cores"
    return Table(("", "rows/s", "÷ best bare", "p50 ms", "p99 ms"), rows, title)


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
        future = self._engine.submit(self._requests[number], NOT_URGENT)
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
