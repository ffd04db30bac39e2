"""One measurement of anything that answers."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from threading import Thread

TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2, "int8": 2e-2}
"""How far an answer may be from the bare session's, whose batches are others, by precision."""
TOLERANCE = TOLERANCES["fp32"]


@dataclass(frozen=True, slots=True)
class Sample:
    """What came of it.

    Attributes:
        rate: rows a second.
        latencies: seconds of each request or run.
        cpu: processor seconds that a row cost, in all processes.
        caller_cpu: how much of that the callers used.
    """

    rate: float
    latencies: list[float]
    cpu: float
    caller_cpu: float = 0.0


def rates(samples: Iterable[Sample]) -> list[float]:
    """Rows a second of each."""
    return [sample.rate for sample in samples]


def sampled(
    work: Callable[[int], object],
    callers: int,
    seconds: float,
    warm_up: float,
    cpu_seconds: Callable[[], float],
    rows: int = 1,
) -> Sample:
    """Measures `work`, which gets a call's number and does `rows` rows, under callers in a closed loop.

    Args:
        cpu_seconds: what the processes that do it have used so far.
    """
    numbers = count()
    before = cpu_seconds()
    start = time.perf_counter() + warm_up
    end = start + seconds
    calls: list[tuple[float, float]] = []

    def caller() -> None:
        while (begun := time.perf_counter()) < end:
            work(next(numbers))
            calls.append((begun, time.perf_counter()))

    threads = [Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used = cpu_seconds() - before
    latencies = [done - begun for begun, done in calls if start <= done < end]
    # Processor time is also of what ended before the clock or after it, so all rows share it.
    return Sample(len(latencies) * rows / seconds, latencies, used / (len(calls) * rows))


def wrong_answers(answers: Iterable[tuple[int, float]], expected: Sequence[float], tolerance: float) -> int:
    """How many are not what is expected of the row whose number they have; NaN never is."""
    return sum(not abs(given - expected[row]) <= tolerance for row, given in answers)
