"""The whole benchmark on a tiny graph: what it reports, not how fast it was."""

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hpack", reason="needs the extra bench")

from benchmarks.callers.job import Result
from benchmarks.ceiling.measure import Measured, Plan, measure
from benchmarks.ceiling.tables import lines, table
from benchmarks.yardstick import decoders
from benchmarks.yardstick.bare import BareSession, Layout
from benchmarks.yardstick.sample import Sample
from benchmarks.yardstick.session import CPU


@pytest.fixture(autouse=True)
def _one_photo_to_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "PHOTOS", 1)


def test_everything_is_measured_and_every_answer_is_right(graph: Path) -> None:
    plan = Plan(graph, concurrency=(1, 3), rounds=2, seconds=0.8, warm_up=0.2, processes=2)
    steps: list[str] = []
    measured = measure(plan, steps.append)
    assert measured.problems == []
    assert measured.size == (32, 32)
    assert set(measured.served) == set(measured.photos) == {1, 3}
    for samples in [*measured.bare.values(), *measured.served.values(), *measured.photos.values()]:
        assert len(samples) == 2
        # Of both together, as a busy machine may leave one of such short turns without an answer.
        assert sum(sample.rate for sample in samples) > 0
        assert sum(len(sample.latencies) for sample in samples) > 0
        assert sum(sample.cpu for sample in samples) > 0
    assert len(measured.decode) == 2
    assert "round 2 of 2: server, 3 clients" in steps
    assert len(table(plan, measured).rows) == len(measured.bare) + 5


def test_wrong_answers_are_counted(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BareSession, "probabilities", lambda self: [2.0] * 32)
    measured = measure(Plan(graph, concurrency=(2,), rounds=1, seconds=0.8, warm_up=0.1), lambda _: None)
    assert measured.wrong > len(measured.served[2][0].latencies) > 0


def test_failures_are_problems_and_callers_part_of_the_cost(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Result(0.2, [0.1], [(0, math.nan)] * 4, {"UNAVAILABLE": 2}, cpu_seconds=1e6)
    monkeypatch.setattr("benchmarks.ceiling.measure.run_apart", lambda *_: found)
    plan = Plan(graph, concurrency=(2,), rounds=1, seconds=0.2, warm_up=0.1)
    measured = measure(plan, lambda _: None)
    assert measured.problems == ["failures {'UNAVAILABLE': 4}, wrong answers 8"]
    (sample,) = measured.served[2]
    assert sample.rate == 5
    assert sample.cpu >= sample.caller_cpu == 250_000
    assert "--cache-max-entries 0" in " ".join(plan.flags)


def test_the_bare_session_answers_for_each_frame(graph: Path) -> None:
    frames = np.stack([np.full((32, 32, 3), shade, np.uint8) for shade in (0, 255, 0, 255, 0)])
    for batch in (1, 2):
        session = BareSession(graph, CPU, Layout(1, 1, batch), frames)
        answers = session.probabilities()[:5]
        assert np.allclose(answers, [0.018, 0.982, 0.018, 0.982, 0.018], atol=1e-3)


def sample(rate: float) -> Sample:
    return Sample(rate, latencies=[0.010, 0.020], cpu=0.004, caller_cpu=0.001)


def test_ratios_are_to_the_best_layout_of_the_same_round() -> None:
    measured = Measured(
        CPU[0],
        (32, 32),
        bare={"slow": [sample(50), sample(50)], "best": [sample(100), sample(80)]},
        served={8: [sample(90), sample(40)]},
        decode=[sample(30), sample(30)],
    )
    slow, best, served, decode = lines(measured)
    assert best.ratio is not None
    assert best.ratio.median == 1.0
    assert slow.ratio is not None
    assert slow.ratio.median == pytest.approx((0.5 + 0.625) / 2)
    assert served.ratio is not None
    assert served.ratio.median == pytest.approx((0.9 + 0.5) / 2)
    assert decode.ratio is None
    assert served.cells() == ["server, 8 clients", "65.0 ±25.0", "10.0", "20.0", "0.70 ±0.20", "4.00", "1.00"]
