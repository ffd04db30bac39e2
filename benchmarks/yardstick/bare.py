"""The ceiling: the same rows through a bare ONNX Runtime session, with nothing around it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Feeds = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the session is called: `callers` at once, each run on `threads` threads with `rows` rows."""

    threads: int
    callers: int
    rows: int = 1

    def __str__(self) -> str:
        return f"{self.callers} × {self.threads} threads, batch {self.rows}"


def layouts(cores: int) -> list[Layout]:
    """Those among which the best one differs from machine to machine."""
    return list(dict.fromkeys([Layout(1, cores), Layout(1, cores, 8), Layout(cores, 1), Layout(cores, 1, 8)]))


class BareSession:
    """One session in one layout, ready to be measured."""

    def __init__(
        self,
        model: Path,
        provider: str | tuple[str, dict[str, Any]],
        layout: Layout,
        frames: NDArray[np.uint8],
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = layout.threads
        # Sessions that spin after their run would slow down what is measured next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.layout = layout
        self._session = ort.InferenceSession(model, options, providers=[provider])
        self._feeds = [
            self.feeds(frames[np.arange(start, start + layout.rows) % len(frames)])
            for start in range(0, len(frames), layout.rows)
        ]

    def feeds(self, frames: NDArray[np.uint8]) -> Feeds:
        """Inputs of a run in which every frame is one request's only row; other modalities are absent."""
        rows = np.arange(len(frames), dtype=np.int64)
        given: Feeds = {
            "frames": frames,
            "image_index": rows,
            "image_request": rows,
            "weights": np.tile(np.array([1, 0, 0], np.float32), (len(frames), 1)),
        }
        for wanted in self._session.get_inputs():
            if wanted.name not in given:
                shape = [size if isinstance(size, int) else 0 for size in wanted.shape]
                given[wanted.name] = np.zeros(shape, np.float32 if "float" in wanted.type else np.int64)
        return given

    def probabilities(self) -> list[float]:
        """What each frame's answer must be."""
        answers: list[float] = []
        for feeds in self._feeds:
            answers.extend(self._session.run(["fake_probability"], feeds)[0].tolist())
        return answers

    def run(self, number: int) -> None:
        """One run, of rows that go by its number."""
        self._session.run(None, self._feeds[number % len(self._feeds)])


def closed_loop(work: Callable[[int], object], callers: int, seconds: float, warm_up: float) -> list[float]:
    """The seconds that each call took which ended on the clock; `work` gets the call's number."""
    numbers = count()
    start = time.perf_counter() + warm_up
    end = start + seconds
    calls: list[tuple[float, float]] = []

    def caller() -> None:
        while (begun := time.perf_counter()) < end:
            work(next(numbers))
            calls.append((begun, time.perf_counter()))

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [done - begun for begun, done in calls if start <= done < end]
