import asyncio
import gc
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from unittest.mock import Mock

import pytest

from server.detect.mailbox import Mailbox
from server.errors import EngineFailed


async def test_each_gets_its_own_result_from_whatever_thread() -> None:
    mailbox = Mailbox()
    with ThreadPoolExecutor(8) as pool:
        results = [mailbox.bring(pool.submit(pow, number, 2)) for number in range(500)]
        assert await asyncio.gather(*results) == [number**2 for number in range(500)]


async def test_an_error_reaches_who_waits_and_nobody_else() -> None:
    mailbox = Mailbox()
    bad: Future[int] = Future()
    good: Future[int] = Future()
    failing, working = mailbox.bring(bad), mailbox.bring(good)
    bad.set_exception(EngineFailed("no"))
    good.set_result(7)
    with pytest.raises(EngineFailed):
        await failing
    assert await working == 7


async def test_an_error_is_gone_with_who_asked_and_not_only_after_a_garbage_collection() -> None:
    errors: list[weakref.ref[EngineFailed]] = []

    def fail() -> int:
        errors.append(weakref.ref(error := EngineFailed("no")))
        try:
            raise error
        finally:
            del error

    mailbox = Mailbox()
    gc.disable()
    try:
        with ThreadPoolExecutor(1) as pool, suppress(EngineFailed):
            await mailbox.bring(pool.submit(fail))
        await asyncio.sleep(0)  # the loop holds what woke this task until then
        assert errors[0]() is None
    finally:
        gc.enable()


async def test_who_is_cancelled_cancels_what_has_not_begun() -> None:
    work: Future[int] = Future()
    waiting = Mailbox().bring(work)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert work.cancelled()


async def test_of_several_that_belong_together_the_first_failure_ends_the_others() -> None:
    works: list[Future[int]] = [Future() for _ in range(3)]
    together = asyncio.ensure_future(Mailbox().bring_all(works))
    await asyncio.sleep(0)
    works[0].set_result(1)
    works[1].set_exception(EngineFailed("no"))
    with pytest.raises(EngineFailed):
        await together
    await asyncio.sleep(0)
    assert works[2].cancelled()


async def test_work_that_ends_after_its_caller_is_forgotten() -> None:
    mailbox = Mailbox()
    late: Future[int] = Future()
    other: Future[int] = Future()
    gone, there = mailbox.bring(late), mailbox.bring(other)
    late.set_running_or_notify_cancel()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    late.set_result(1)
    other.set_result(2)
    assert await there == 2


async def test_work_that_is_cancelled_elsewhere_cancels_who_waits() -> None:
    work: Future[int] = Future()
    waiting = Mailbox().bring(work)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_many_answers_of_a_batch_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    wake = Mock(wraps=loop.call_soon_threadsafe)
    monkeypatch.setattr(loop, "call_soon_threadsafe", wake)
    work: list[Future[int]] = [Future() for _ in range(50)]
    mailbox = Mailbox()
    waiting = [mailbox.bring(each) for each in work]

    def answer() -> None:
        for number, each in enumerate(work):
            each.set_result(number)

    # The loop stands still meanwhile, as it does while another thread has the interpreter's lock.
    thread = threading.Thread(target=answer)
    thread.start()
    thread.join()
    assert await asyncio.gather(*waiting) == list(range(50))
    wake.assert_called_once()
