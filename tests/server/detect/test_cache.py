import asyncio
import gc
import math
import time
import weakref
from collections.abc import Awaitable
from dataclasses import replace

import numpy as np
import pytest

from server.detect.cache import Question, VerdictCache
from server.detect.request import Detection, Options, ScoredRow, Verdict
from server.errors import CorruptMedia, DecoderCrashed, DecodeTimeout, MediaError, Overloaded
from server.urgency import Priority

NORMAL = (Priority.NORMAL, math.inf)
ANSWER = Detection(Verdict.FAKE, None, 0.9, (), (), (), (), (), "tiny", "1")


def question(name: str = "a", engine: int = 0, **options: float) -> Question:
    return Question(engine, ((name, None),), Options(**options))  # type: ignore[arg-type]


def cache(max_bytes: int = 10**6, max_entries: int = 100, seconds: float = 60.0) -> VerdictCache:
    return VerdictCache(max_bytes, max_entries, seconds)


class Work:
    """A computation that waits until it may end, and counts its runs."""

    def __init__(self, *outcomes: Detection | Exception) -> None:
        self.runs = 0
        self.may_end = asyncio.Event()
        self._outcomes = list(outcomes) or [ANSWER]

    async def __call__(self) -> Detection:
        outcome = self._outcomes[min(self.runs, len(self._outcomes) - 1)]
        self.runs += 1
        await self.may_end.wait()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def at_once(answer: Detection = ANSWER) -> Detection:
    return answer


def started(*questions: Awaitable[Detection]) -> list["asyncio.Task[Detection]"]:
    return [asyncio.ensure_future(asked) for asked in questions]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_answer_is_given_again_and_says_so() -> None:
    verdicts = cache()
    assert not (await verdicts.answer(question(), NORMAL, at_once)).cached
    again = await verdicts.answer(question(), NORMAL, Work())
    assert again.cached
    assert again.fake_probability == ANSWER.fake_probability
    assert (verdicts.hits, verdicts.misses, verdicts.entries) == (1, 1, 1)


@pytest.mark.parametrize(
    "other", [question("b"), question(engine=1), question(threshold=0.5), question(frames_per_video=3)]
)
async def test_another_question_is_computed(other: Question) -> None:
    verdicts = cache()
    await verdicts.answer(question(), NORMAL, at_once)
    assert verdicts.find(other) is None


async def test_those_who_ask_at_the_same_time_share_one_computation() -> None:
    verdicts, work = cache(), Work()
    asked = started(*(verdicts.answer(question(), NORMAL, work) for _ in range(20)))
    await settled()
    work.may_end.set()
    answers = await asyncio.gather(*asked)
    assert work.runs == 1
    assert sorted(answer.cached for answer in answers) == [False] + [True] * 19


async def test_sharing_needs_no_room_in_the_cache() -> None:
    verdicts, work = cache(max_bytes=1), Work()
    asked = started(*(verdicts.answer(question(), NORMAL, work) for _ in range(5)))
    await settled()
    work.may_end.set()
    await asyncio.gather(*asked)
    assert (work.runs, verdicts.entries) == (1, 0)


async def test_when_the_first_is_cancelled_the_next_takes_over() -> None:
    verdicts, work = cache(), Work()
    first, *others = started(*(verdicts.answer(question(), NORMAL, work) for _ in range(5)))
    await settled()
    first.cancel()
    await settled()
    assert work.runs == 2
    work.may_end.set()
    assert len(await asyncio.gather(*others)) == 4
    assert work.runs == 2


async def test_when_a_waiting_one_is_cancelled_the_others_do_not_notice() -> None:
    verdicts, work = cache(), Work()
    first, second, third = started(*(verdicts.answer(question(), NORMAL, work) for _ in range(3)))
    await settled()
    second.cancel()
    await settled()
    work.may_end.set()
    await asyncio.gather(first, third)
    assert work.runs == 1


async def test_the_least_urgent_of_those_who_wait_can_be_dropped() -> None:
    verdicts, work = cache(), Work()
    deadlines = (1.0, 9.0, 5.0, 7.0)
    first, late, sooner, gone = started(
        *(verdicts.answer(question(), (Priority.NORMAL, at), work) for at in deadlines)
    )
    await settled()
    gone.cancel()
    # So that the first is done, which does the work itself, before they know that they are dropped.
    work.may_end.set()
    for than, least in ((8.0, 9.0), (4.0, 5.0)):
        assert verdicts.least_urgent() == (Priority.NORMAL, least)
        assert not verdicts.drop((Priority.NORMAL, least), Overloaded("as urgent"))
        assert verdicts.drop((Priority.NORMAL, than), Overloaded("a more urgent one came"))
    assert verdicts.least_urgent() is None
    assert not verdicts.drop((Priority.INTERACTIVE, 0.0), Overloaded("nobody is left"))
    outcomes = await asyncio.gather(first, late, sooner, gone, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        Detection,
        Overloaded,
        Overloaded,
        asyncio.CancelledError,
    ]


async def test_what_a_dropped_one_held_is_freed_at_once() -> None:
    verdicts, work = cache(), Work()

    async def asked(medium: Work) -> Detection:
        return await verdicts.answer(question(), NORMAL, medium)

    async def dropped() -> weakref.ref[Work]:
        medium = Work()
        (task,) = started(asked(medium))
        await settled()
        assert verdicts.drop((Priority.INTERACTIVE, 0.0), Overloaded("a more urgent one came"))
        await asyncio.wait([task])
        assert isinstance(task.exception(), Overloaded)
        return weakref.ref(medium)

    (first,) = started(verdicts.answer(question(), NORMAL, work))
    await settled()
    gc.disable()
    try:
        assert (await dropped())() is None
    finally:
        gc.enable()
    work.may_end.set()
    assert await first == ANSWER


@pytest.mark.parametrize("error", [DecoderCrashed("dead"), RuntimeError("bug")])
async def test_failures_that_need_not_happen_again_concern_one_caller_only(error: Exception) -> None:
    verdicts, work = cache(), Work(error, ANSWER)
    asked = started(*(verdicts.answer(question(), NORMAL, work) for _ in range(4)))
    await settled()
    work.may_end.set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert outcomes[0] is error
    assert [outcome.cached for outcome in outcomes[1:] if isinstance(outcome, Detection)] == [
        False,
        True,
        True,
    ]


async def test_those_who_wait_for_a_file_that_takes_too_long_do_not_find_out_one_after_another() -> None:
    verdicts, work = cache(), Work(DecodeTimeout("too long"), ANSWER)
    asked = started(*(verdicts.answer(question(), NORMAL, work) for _ in range(4)))
    await settled()
    work.may_end.set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DecodeTimeout] * 4
    assert work.runs == 1
    # On a less busy machine it may be fast enough.
    assert await verdicts.answer(question(), NORMAL, work) is ANSWER


async def test_a_time_out_of_one_who_had_no_more_time_is_not_shared() -> None:
    verdicts, work = cache(), Work(DecodeTimeout("too late"), ANSWER)
    deadlines = time.monotonic(), time.monotonic() + 60
    asked = started(*(verdicts.answer(question(), (Priority.NORMAL, at), work) for at in deadlines))
    await settled()
    work.may_end.set()
    hurried, patient = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(hurried, DecodeTimeout)
    assert patient is ANSWER


async def test_a_broken_file_is_not_decoded_twice() -> None:
    verdicts, work = cache(), Work(CorruptMedia("cut off"))
    asked = started(*(verdicts.answer(question(), NORMAL, work) for _ in range(3)))
    await settled()
    work.may_end.set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["cut off"] * 3
    # What one caller adds to the message, the next must not see.
    for outcome in outcomes:
        assert isinstance(outcome, MediaError)
        outcome.message = "changed"
    with pytest.raises(CorruptMedia, match="cut off"):
        verdicts.find(question())
    assert work.runs == 1


async def test_nobody_waits_for_a_computation_of_lower_priority() -> None:
    verdicts, batch, urgent = cache(), Work(), Work()
    (slow,) = started(verdicts.answer(question(), (Priority.BATCH, math.inf), batch))
    await settled()
    urgent.may_end.set()
    assert not (await verdicts.answer(question(), (Priority.INTERACTIVE, math.inf), urgent)).cached
    batch.may_end.set()
    await slow
    assert verdicts.entries == 1


async def test_nobody_waits_for_a_computation_that_has_much_more_time() -> None:
    verdicts, patient, urgent = cache(), Work(), Work()
    (slow,) = started(verdicts.answer(question(), (Priority.NORMAL, 90.0), patient))
    await settled()
    (fast,) = started(verdicts.answer(question(), (Priority.NORMAL, 5.0), urgent))
    await settled()
    (with_it,) = started(verdicts.answer(question(), (Priority.NORMAL, 4.9), Work()))
    urgent.may_end.set()
    await asyncio.gather(fast, with_it)
    assert (verdicts.misses, verdicts.hits, verdicts.entries) == (2, 1, 1)
    assert not slow.done()
    patient.may_end.set()
    assert not (await slow).cached


async def test_the_least_recently_asked_go_first() -> None:
    verdicts = cache(max_entries=2)
    for name in ("a", "b"):
        await verdicts.answer(question(name), NORMAL, at_once)
    assert verdicts.find(question("a"))
    await verdicts.answer(question("c"), NORMAL, at_once)
    assert verdicts.find(question("a"))
    assert verdicts.find(question("b")) is None


async def test_bytes_are_bounded_and_large_answers_count_more() -> None:
    heatmap = np.zeros((100, 100), np.float32)
    large = replace(ANSWER, rows=(ScoredRow("image", 0, 0, 0, 0.9, None, heatmap),))
    verdicts = cache(max_bytes=100_000)
    for number in range(10):
        await verdicts.answer(question(str(number)), NORMAL, lambda: at_once(large))
    assert verdicts.entries == 2
    assert 2 * heatmap.nbytes < verdicts.size <= 100_000
    for number in range(10, 20):
        await verdicts.answer(question(str(number)), NORMAL, at_once)
    assert verdicts.entries > 2


async def test_an_answer_that_is_too_large_drives_no_other_out() -> None:
    verdicts = cache(max_bytes=10_000)
    row = ScoredRow("image", 0, 0.0, 0.0, 0.5, heatmap=np.zeros((64, 64), np.float32))
    await verdicts.answer(question("small"), NORMAL, at_once)
    await verdicts.answer(question("large"), NORMAL, lambda: at_once(replace(ANSWER, rows=(row,))))
    assert verdicts.find(question("small"))
    assert verdicts.entries == 1


async def test_an_entry_does_not_keep_the_heatmaps_of_its_whole_batch() -> None:
    batch = np.zeros((64, 8, 8), np.float32)
    row = ScoredRow("image", 0, 0, 0, 0.9, None, batch[3])
    verdicts = cache()
    seen = replace(ANSWER, rows=(row,))
    await verdicts.answer(question(), NORMAL, lambda: at_once(seen))
    known = verdicts.find(question())
    assert known is not None
    heatmap = known.rows[0].heatmap
    assert heatmap is not None
    assert heatmap.base is None
    np.testing.assert_array_equal(heatmap, batch[3])


async def test_an_entry_that_is_too_old_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("server.detect.cache.time.monotonic", lambda: now)
    verdicts = cache(seconds=10)
    await verdicts.answer(question(), NORMAL, at_once)
    now += 9
    assert verdicts.find(question())
    now += 2
    assert verdicts.find(question()) is None
    assert (verdicts.entries, verdicts.size) == (0, 0)


async def test_the_limit_counts_every_medium_of_a_request() -> None:
    of_many = Question(0, tuple((bytes([number]), None) for number in range(16)), Options())
    small = cache(max_bytes=5_000)
    await small.answer(of_many, NORMAL, at_once)
    assert small.entries == 0
    await small.answer(question(), NORMAL, at_once)
    assert small.entries == 1
