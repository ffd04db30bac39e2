"""The soak on the bundled detector for a few seconds: what it finds, not how fast it was."""

from collections import Counter
from dataclasses import replace

import pytest

pytest.importorskip("onnx", reason="needs the extra train")

from benchmarks.abuse import soak_corpus
from benchmarks.abuse.outcome import OK, Outcome
from benchmarks.abuse.soak import soak
from benchmarks.abuse.soak_corpus import Corpus, damaged
from benchmarks.abuse.soak_plan import SoakPlan
from benchmarks.abuse.soaked import Soaked, table
from server.engine.repository import BUNDLED

DEMO = BUNDLED / "demo/1/model.onnx"
# The time after the model is replaced is for a slow machine to load the new one.
ABUSE = SoakPlan(DEMO, seconds=10, load=1.0, kill_every=3.0, replace_after=0.2, warm_up=2.0)
MINUTE = SoakPlan(DEMO, seconds=60, load=0)


def test_a_closed_loop_gets_right_answers_only() -> None:
    soaked = soak(SoakPlan(DEMO, seconds=2, clients=8, load=0), lambda _: None)
    assert set(soaked.outcomes) == {OK}
    assert soaked.problems == []
    assert ("wrong outcomes", "0") in table(soaked).rows


def test_abuse_meets_broken_files_killed_callers_and_a_new_model() -> None:
    soaked = soak(ABUSE, lambda _: None)
    assert soaked.mistakes == 0, soaked.wrong
    assert soaked.killed >= 2
    assert set(soaked.versions) == {"1", "2"}
    assert {OK, "CORRUPT_MEDIA", "UNSUPPORTED_MEDIA"} <= set(soaked.outcomes)


def test_callers_that_fail_are_not_taken_for_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_corpus, "SHARES", {"image": -1.0, "video": 0.0, "audio": 0.0})
    with pytest.raises(RuntimeError, match="callers ended"):
        soak(SoakPlan(DEMO, seconds=1, clients=2, load=0), lambda _: None)


def test_what_was_refused_or_late_is_no_capacity() -> None:
    with pytest.raises(RuntimeError, match="answered in time"):
        soak(replace(ABUSE, deadline=1e-6), lambda _: None)


def judged(*outcomes: Outcome) -> Soaked:
    soaked = Soaked(MINUTE, memory=[100] * 20)
    corpus = Corpus(["photo", "broken"], [1, 1], [(OK, 0.25), ("CORRUPT_MEDIA", None)])
    soaked.judge(outcomes, corpus)
    return soaked


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(0, OK, 0.1, 0.26, "1"),
        Outcome(0, "CORRUPT_MEDIA", 0.1),
        Outcome(1, OK, 0.1, 0.25, "1"),
        Outcome(1, "DECODER_CRASHED", 0.1),
        Outcome(0, "ANSWER_OF_ANOTHER_REQUEST", 0.1, 0.25, "1"),
        Outcome(0, "UNAVAILABLE", 0.1),
    ],
)
def test_other_outcomes_than_that_of_the_medium_alone_are_problems(outcome: Outcome) -> None:
    right = [Outcome(0, OK, 0.1, 0.25, "1"), Outcome(1, "CORRUPT_MEDIA", 0.1), Outcome(0, "OVERLOADED", 0.0)]
    assert judged(*right).problems == []
    assert judged(*right, outcome).problems


def test_growth_and_lateness_are_problems() -> None:
    soaked = judged(Outcome(0, OK, 0.1, 0.25, "1"), Outcome(0, "DEADLINE_EXCEEDED", 10.0))
    assert soaked.late_share == 0.5
    soaked.memory = [100] * 20 + [120] * 20
    assert len(soaked.problems) == 2


def test_damage_depends_on_the_seed_alone() -> None:
    content = bytes(range(256)) * 40
    broken = [damaged(content, seed) for seed in range(6)]
    assert broken == [damaged(content, seed) for seed in range(6)]
    assert content not in broken
    assert Counter(len(one) for one in broken)[len(content)] == 2
