"""How long one file takes, and how much memory, when nothing else runs."""

import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel

from training.evaluation.judge import Judge, Task
from training.evaluation.judged import JudgedFile

_RESET_PEAK = "5"
"""For /proc/PID/clear_refs: forget the highest memory so far."""


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
        processes = _own_processes() if judge.local else []
        seen = sum(map(_reset_peak, processes)) == len(processes) > 0
        start = time.perf_counter()
        answer = next(judge.judge([task]))
        seconds = time.perf_counter() - start
        peak = sum(map(_peak_bytes, processes)) if seen else None
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


def _own_processes() -> list[Path]:
    """This process and its children (the decoders), as folders of /proc; empty without it."""
    own = Path("/proc") / str(os.getpid())
    try:
        lists = [task.joinpath("children").read_text().split() for task in own.joinpath("task").iterdir()]
    except OSError:
        return []
    return [own, *(Path("/proc") / child for children in lists for child in children)]


def _reset_peak(process: Path) -> bool:
    try:
        (process / "clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _peak_bytes(process: Path) -> int:
    try:
        status = (process / "status").read_text()
    except OSError:
        # A decoder that was replaced meanwhile.
        return 0
    kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
    return int(kilobytes) * 1024
