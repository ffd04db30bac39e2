"""Who is fetched first, and how long others will wait."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from server.errors import Overloaded
from server.sources.fetched import Fetched, SourceFacts
from server.sources.fetching import FetchPool
from server.urgency import Priority
from tests.urgencies import soon
from tests.waiting import until_async


@pytest.fixture
def pool() -> Iterator[FetchPool]:
    pool = FetchPool(1)
    yield pool
    pool.close()


class Store:
    """Notes what is read, and keeps its reader until it may go on."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.may_answer = threading.Event()

    def reader(self, name: str) -> Callable[[], Fetched]:
        def read() -> Fetched:
            self.read.append(name)
            self.may_answer.wait(10)
            return Fetched(name.encode(), SourceFacts(""))

        return read


def test_the_urgent_are_fetched_before_the_patient_who_came_first(pool: FetchPool) -> None:
    store = Store()

    async def run() -> list[Fetched]:
        first = asyncio.create_task(pool.fetch(store.reader("first"), soon(priority=Priority.BATCH)))
        await until_async(lambda: store.read)
        patient = asyncio.create_task(pool.fetch(store.reader("patient"), soon(priority=Priority.BATCH)))
        urgent = asyncio.create_task(pool.fetch(store.reader("urgent"), soon(priority=Priority.INTERACTIVE)))
        await until_async(lambda: len(pool) == 2)
        store.may_answer.set()
        return list(await asyncio.gather(first, patient, urgent))

    answers = asyncio.run(run())
    assert [answer.content for answer in answers] == [b"first", b"patient", b"urgent"]
    assert store.read == ["first", "urgent", "patient"]


def slow() -> Fetched:
    time.sleep(0.1)
    return Fetched(b"", SourceFacts(""))


def test_a_newcomer_waits_for_what_goes_first_once_all_are_busy(pool: FetchPool) -> None:
    store = Store()

    async def run() -> None:
        await pool.fetch(slow, soon())
        assert pool.backlog_seconds == 0
        fetched = [
            asyncio.create_task(pool.fetch(store.reader("a"), soon(priority=Priority.BATCH)))
            for _ in range(3)
        ]
        await until_async(lambda: store.read and len(pool) == 2)
        one = pool.seconds_before(soon())
        assert one >= 0.1
        assert pool.backlog_seconds == pytest.approx(3 * one)
        assert pool.drop(soon(), Overloaded("no room"))
        store.may_answer.set()
        outcomes = await asyncio.gather(*fetched, return_exceptions=True)
        assert sum(isinstance(outcome, Overloaded) for outcome in outcomes) == 1

    asyncio.run(run())


def test_what_nobody_waits_for_any_more_is_not_read(pool: FetchPool) -> None:
    store = Store()

    async def run() -> None:
        first = asyncio.create_task(pool.fetch(store.reader("first"), soon()))
        given_up = asyncio.create_task(pool.fetch(store.reader("given up"), soon()))
        await until_async(lambda: store.read and len(pool))
        given_up.cancel()
        await asyncio.wait([given_up])
        store.may_answer.set()
        await first
        await pool.fetch(store.reader("next"), soon())

    asyncio.run(run())
    assert store.read == ["first", "next"]


def test_closing_cancels_what_waits(pool: FetchPool) -> None:
    store = Store()

    async def run() -> None:
        first = asyncio.create_task(pool.fetch(store.reader("first"), soon()))
        waiting = asyncio.create_task(pool.fetch(store.reader("waiting"), soon()))
        await until_async(lambda: store.read and len(pool))
        pool.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        store.may_answer.set()
        await first

    asyncio.run(run())
