import math
from types import SimpleNamespace

import pytest

from benchmarks.yardstick import sample
from benchmarks.yardstick.sample import Sample, sampled, wrong_answers


def test_an_answer_is_wrong_beyond_the_tolerance_or_if_it_is_no_number() -> None:
    answers = [(0, 0.25), (1, 0.76), (1, 0.8), (0, math.nan)]
    assert wrong_answers(answers, [0.25, 0.75], tolerance=0.02) == 2


def test_what_ends_on_the_clock_counts_and_processor_time_is_shared_with_the_warm_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def work(_: int) -> None:
        nonlocal now
        now += 1

    monkeypatch.setattr(sample, "time", SimpleNamespace(perf_counter=lambda: now))
    # Calls end at 1, 2, ... 6 seconds, and those from 2 to 5 are on the clock.
    found = sampled(work, callers=1, seconds=4, warm_up=2, cpu_seconds=lambda: 24 * now, rows=8)
    assert found == Sample(rate=8, latencies=[1.0] * 4, cpu=3)
    now = 0.0
    # The seventh call ends after the clock, and shares the processor time that it took.
    found = sampled(work, callers=1, seconds=4.5, warm_up=2, cpu_seconds=lambda: 24 * now, rows=9)
    assert found == Sample(rate=10, latencies=[1.0] * 5, cpu=24 / 9)
