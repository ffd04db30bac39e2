"""The ceiling: the same rows through a bare ONNX Runtime session, with nothing around it."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.yardstick.captured import Captured, capturing
from benchmarks.yardstick.sample import Sample, sampled
from benchmarks.yardstick.session import CPU, Provider, absent, of_frames
from server.engine.cores import usable_cores


@dataclass(frozen=True, slots=True)
class Layout:
    """How the session is called: `callers` at once, each run on `threads` threads with `rows` rows.

    Attributes:
        captured: as a CUDA graph, on memory of the device; for one caller.
    """

    threads: int
    callers: int
    rows: int = 1
    captured: bool = False

    def __str__(self) -> str:
        name = f"{self.callers} × {self.threads} threads, batch {self.rows}"
        return f"{name}, captured" if self.captured else name


def layouts(cores: int, provider: str = CPU[0]) -> list[Layout]:
    """Those among which the best one differs from machine to machine."""
    if provider != CPU[0]:
        sizes = (1, 8, 32, 64, 128)
        captured = [Layout(1, 1, rows, True) for rows in sizes if provider == "CUDAExecutionProvider"]
        return [Layout(1, callers, rows) for rows in sizes for callers in (1, 2)] + captured
    return list(dict.fromkeys([Layout(1, cores), Layout(1, cores, 8), Layout(cores, 1), Layout(cores, 1, 8)]))


class BareSession:
    """One session in one layout, ready to be measured."""

    def __init__(self, model: Path, provider: Provider, layout: Layout, frames: NDArray[np.uint8]) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = layout.threads
        # Sessions that spin after their run would slow down what is measured next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.layout = layout
        if layout.captured:
            provider = capturing(provider, options, layout.rows)
        self._session = ort.InferenceSession(model, options, providers=[provider])
        others = absent(self._session)
        self._feeds = [
            {**others, **of_frames(frames[np.arange(start, start + layout.rows) % len(frames)])}
            for start in range(0, len(frames), layout.rows)
        ]
        self._captured = Captured(self._session, self._feeds[0]) if layout.captured else None
        # On a GPU the first run takes seconds, which is no part of any measurement.
        self.run(0)

    def probabilities(self) -> list[float]:
        """What each frame's answer must be."""
        answers: list[float] = []
        for feeds in self._feeds:
            answers.extend(self._session.run(["fake_probability"], feeds)[0].tolist())
        return answers

    def run(self, number: int) -> None:
        """One run, of rows that go by its number."""
        feeds = self._feeds[number % len(self._feeds)]
        if self._captured:
            self._captured.run(feeds)
        else:
            self._session.run(None, feeds)

    def sample(self, seconds: float, warm_up: float) -> Sample:
        """Measures it; latencies are of runs."""
        layout = self.layout
        return sampled(self.run, layout.callers, seconds, warm_up, time.process_time, layout.rows)


def bare_sessions(model: Path, provider: Provider, frames: NDArray[np.uint8]) -> dict[str, BareSession]:
    """One in each of the `layouts` for this machine and provider, by its name."""
    return {
        str(layout): BareSession(model, provider, layout, frames)
        for layout in layouts(usable_cores(), provider[0])
    }
