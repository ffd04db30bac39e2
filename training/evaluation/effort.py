"""How long one file takes, and how much memory, when nothing else runs."""

import os
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from training.evaluation.judge import Judge, Task
from training.evaluation.judged import JudgedFile

_RESET_PEAK = "5"
"""For /proc/PID/clear_refs: forget the highest memory so far."""

_ENDED = (FileNotFoundError, ProcessLookupError)
"""Of a thread or process that was listed and is no more, as a decoder that was replaced."""


class Effort(BaseModel, frozen=True):
    """Time and memory that files of one kind took, judged one after the other.

    Attributes:
        median_seconds, most_seconds: from asking to answer.
        peak_memory_bytes: the most that the detector's processes held together, models included;
            None where that cannot be seen: on another machine, or without Linux's /proc.
    """

    media: str
    files: int
    median_seconds: float
    most_seconds: float
    peak_memory_bytes: int | None


def measure_effort(judge: Judge, tasks: Iterable[Task]) -> list[JudgedFile]:
    """Judges one file after the other, with seconds and memory noted."""
    found = []
    for task in tasks:
        processes = _forget_peaks() if judge.local else []
        start = time.perf_counter()
        answer = next(judge.judge([task]))
        seconds = time.perf_counter() - start
        peak = sum(map(_peak_bytes, processes)) if processes else None
        found.append(answer.answered(total_seconds=seconds, peak_memory_bytes=peak))
    return found


def summarise(files: Iterable[JudgedFile]) -> list[Effort]:
    """One for each kind, of the files that got an answer."""
    answered = [file for file in files if not file.error and file.total_seconds is not None]
    return [
        _summary(kind, [f for f in answered if f.kind == kind]) for kind in sorted({f.kind for f in answered})
    ]


def _summary(kind: str, files: list[JudgedFile]) -> Effort:
    seconds = [file.total_seconds for file in files if file.total_seconds is not None]
    peaks = [file.peak_memory_bytes for file in files if file.peak_memory_bytes is not None]
    return Effort(
        media=kind,
        files=len(files),
        median_seconds=statistics.median(seconds),
        most_seconds=max(seconds),
        peak_memory_bytes=max(peaks, default=None),
    )


def _forget_peaks() -> list[Path]:
    """This process and its children (the decoders), as folders of /proc; empty where that cannot be done."""
    own = Path("/proc") / str(os.getpid())
    try:
        for process in (processes := [own, *_children(own)]):
            with suppress(*_ENDED):
                (process / "clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return []
    return processes


def _children(process: Path) -> Iterator[Path]:
    for thread in (process / "task").iterdir():
        with suppress(*_ENDED):
            yield from (Path("/proc") / child for child in (thread / "children").read_text().split())


def _peak_bytes(process: Path) -> int:
    try:
        status = (process / "status").read_text()
    except _ENDED:
        return 0
    kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
    return int(kilobytes) * 1024
