import mmap
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from subprocess import run

import pytest

from training.evaluation.effort import measure_effort, summarise
from training.evaluation.judge import Activation, Task
from training.evaluation.judged import JudgedFile

MEGABYTES = 2**20


class _Hungry:
    """Takes as many megabytes for a file as its path says."""

    name, real_threshold, fake_threshold = "hungry", 0.35, 0.65

    def __init__(self, local: bool) -> None:
        self.local = local

    def judge(self, tasks: Iterable[Task]) -> Iterator[JudgedFile]:
        for task in tasks:
            # Not from the heap, which may hold as much from before.
            with mmap.mmap(-1, int(task.truth.path) * MEGABYTES) as memory:
                memory.write(b"x" * len(memory))
            yield task.truth.answered(verdict="REAL", fake_probability=0.1)

    def activations(self, content: bytes) -> list[Activation]:
        return []


@contextmanager
def _comings_and_goings() -> Iterator[None]:
    """Threads and child processes start and end all the time."""
    over = threading.Event()

    def come_and_go(start: Callable[[], object]) -> None:
        while not over.is_set():
            start()

    def thread() -> None:
        (short := threading.Thread(target=int)).start()
        short.join()

    busy = [threading.Thread(target=come_and_go, args=[start]) for start in (thread, lambda: run(["true"]))]
    for each in busy:
        each.start()
    try:
        yield
    finally:
        over.set()
        for each in busy:
            each.join()


def _tasks(*megabytes: int) -> list[Task]:
    return [Task(JudgedFile(path=str(size), label=0, kind="image"), b"") for size in megabytes]


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_the_peak_is_of_one_file_and_forgotten_for_the_next() -> None:
    large, small = measure_effort(_Hungry(local=True), _tasks(200, 1))
    assert large.peak_memory_bytes is not None
    assert small.peak_memory_bytes is not None
    assert large.peak_memory_bytes - small.peak_memory_bytes > 150 * MEGABYTES


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_threads_and_processes_that_end_meanwhile_are_no_hindrance() -> None:
    with _comings_and_goings():
        found = measure_effort(_Hungry(local=True), _tasks(*[1] * 200))
    assert all(file.peak_memory_bytes for file in found)


def test_the_memory_of_another_machine_is_not_known_but_time_is() -> None:
    (found,) = measure_effort(_Hungry(local=False), _tasks(1))
    assert found.peak_memory_bytes is None
    assert found.total_seconds is not None
    assert found.total_seconds > 0


def test_the_summary_is_of_files_that_were_answered() -> None:
    def file(kind: str, seconds: float, peak: int | None, error: str | None = None) -> JudgedFile:
        return JudgedFile(
            path="x", label=0, kind=kind, total_seconds=seconds, peak_memory_bytes=peak, error=error
        )

    audio, image = summarise(
        [
            *(file("image", seconds, 5) for seconds in (1.0, 2.0, 9.0)),
            file("image", 100.0, 7, "CORRUPT_MEDIA"),
            file("audio", 3.0, None),
        ]
    )
    assert (image.files, image.median_seconds, image.most_seconds, image.peak_memory_bytes) == (
        3,
        2.0,
        9.0,
        5,
    )
    assert (audio.media, audio.peak_memory_bytes) == ("audio", None)
