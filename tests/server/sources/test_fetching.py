"""Who is fetched first, and how long others will wait."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import Overloaded, ShuttingDown
from server.sources.fetched import Fetched, SourceFacts
from server.sources.fetching import FetchPool
from server.urgency import Priority, Urgency
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


async def test_the_urgent_are_fetched_before_the_patient_who_came_first(pool: FetchPool) -> None:
    store = Store()
    first = asyncio.create_task(pool.fetch(store.reader("first"), soon(priority=Priority.BATCH)))
    await until_async(lambda: store.read)
    patient = asyncio.create_task(pool.fetch(store.reader("patient"), soon(priority=Priority.BATCH)))
    urgent = asyncio.create_task(pool.fetch(store.reader("urgent"), soon(priority=Priority.INTERACTIVE)))
    await until_async(lambda: len(pool) == 2)
    store.may_answer.set()
    answers = await asyncio.gather(first, patient, urgent)
    assert [answer.content for answer in answers] == [b"first", b"patient", b"urgent"]
    assert store.read == ["first", "urgent", "patient"]


class Clock(threading.local):
    """Of each thread its own: how long a read takes is what a test says, and not a busy machine."""

    now = 0.0
    monotonic = staticmethod(time.monotonic)

    def perf_counter(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def _clock_of_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.sources.fetching.time", CLOCK)


def slow(seconds: float = 0.1) -> Fetched:
    CLOCK.now += seconds
    return Fetched(b"", SourceFacts(""))


async def test_a_newcomer_waits_for_what_goes_first_once_all_are_busy(pool: FetchPool) -> None:
    store = Store()
    await pool.fetch(slow, soon())
    assert pool.backlog_seconds == 0
    fetched = [
        asyncio.create_task(pool.fetch(store.reader("a"), soon(priority=Priority.BATCH))) for _ in range(3)
    ]
    await until_async(lambda: store.read and len(pool) == 2)
    one = pool.seconds_before(soon())
    assert one >= 0.1
    assert pool.backlog_seconds == pytest.approx(3 * one)
    assert pool.drop(soon(), Overloaded("no room"))
    store.may_answer.set()
    outcomes = await asyncio.gather(*fetched, return_exceptions=True)
    assert sum(isinstance(outcome, Overloaded) for outcome in outcomes) == 1


async def test_what_nobody_waits_for_any_more_is_not_read(pool: FetchPool) -> None:
    store = Store()
    first = asyncio.create_task(pool.fetch(store.reader("first"), soon()))
    given_up = asyncio.create_task(pool.fetch(store.reader("given up"), soon()))
    await until_async(lambda: store.read and len(pool))
    given_up.cancel()
    await asyncio.wait([given_up])
    store.may_answer.set()
    await first
    await pool.fetch(store.reader("next"), soon())
    assert store.read == ["first", "next"]


async def test_closing_cancels_what_waits(pool: FetchPool) -> None:
    store = Store()
    first = asyncio.create_task(pool.fetch(store.reader("first"), soon()))
    waiting = asyncio.create_task(pool.fetch(store.reader("waiting"), soon()))
    await until_async(lambda: store.read and len(pool))
    pool.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ShuttingDown):
        await pool.fetch(store.reader("too late"), soon())
    store.may_answer.set()
    await first


class Readers:
    """Reads of names, each until it is told to end; `reading` are those of now."""

    def __init__(self) -> None:
        self.reading: dict[str, threading.Event] = {}

    def reader(self, name: str) -> Callable[[], Fetched]:
        def read() -> Fetched:
            self.reading[name] = end = threading.Event()
            assert end.wait(10)
            return Fetched(b"", SourceFacts(""))

        return read

    def end(self, name: str) -> None:
        self.reading.pop(name).set()

    def end_all(self) -> None:
        for name in list(self.reading):
            self.end(name)


async def ended(pool: FetchPool, readers: Readers, tasks: Iterable[asyncio.Task[Fetched]]) -> None:
    """Nothing of a test is read any more, or waits."""
    pool.close()
    readers.end_all()
    await asyncio.gather(*tasks, return_exceptions=True)


WORKERS, PER_HOST = 3, 2
ADDED = st.tuples(st.sampled_from(Priority), st.sampled_from(["", "a.example", "b.example"]))


@settings(max_examples=50)
@given(st.lists(ADDED | st.sampled_from(["end first", "end last", "cancel"]), max_size=25))
def test_the_most_urgent_whose_host_has_room_is_read_whenever_a_thread_is_free(
    steps: list[tuple[Priority, str] | str],
) -> None:
    pool, readers = FetchPool(WORKERS, PER_HOST), Readers()
    tasks: dict[str, asyncio.Task[Fetched]] = {}
    # What should happen: urgency and host of each by name, in the order in which they came.
    waiting: dict[str, tuple[Urgency, str]] = {}
    reading: dict[str, str] = {}

    def start_what_may() -> None:
        while len(reading) < WORKERS:
            hosts = list(reading.values())
            open_to = [
                name for name, (_, host) in waiting.items() if not host or hosts.count(host) < PER_HOST
            ]
            if not open_to:
                return
            name = min(open_to, key=lambda each: waiting[each][0])
            reading[name] = waiting.pop(name)[1]

    async def run() -> None:
        for number, step in enumerate(steps):
            if isinstance(step, tuple):
                name, urgency = str(number), (step[0], time.monotonic() + 1000)
                waiting[name] = urgency, step[1]
                tasks[name] = asyncio.create_task(pool.fetch(readers.reader(name), *waiting[name]))
                await asyncio.sleep(0)
            elif step == "cancel" and waiting:
                name = next(iter(waiting))
                del waiting[name]
                tasks[name].cancel()
                await asyncio.wait([tasks[name]])
            elif step != "cancel" and reading:
                name = list(reading)[0 if step == "end first" else -1]
                del reading[name]
                readers.end(name)
                await tasks[name]
            start_what_may()
            await until_async(lambda: readers.reading.keys() == reading.keys(), 10)
        await ended(pool, readers, tasks.values())

    asyncio.run(run())


async def busy_with(pool: FetchPool, readers: Readers, host: str, count: int) -> list[asyncio.Task[Fetched]]:
    """That many media of a host, of which as many as may be are being read."""
    before = len(readers.reading)
    names = [f"{host} {number}" for number in range(count)]
    tasks = [asyncio.create_task(pool.fetch(readers.reader(name), soon(1000), host)) for name in names]
    await until_async(lambda: len(readers.reading) == before + min(count, 3))
    return tasks


async def test_what_waits_for_a_slow_host_is_no_wait_for_others_but_for_its_own() -> None:
    pool, readers = FetchPool(4), Readers()
    first = asyncio.create_task(pool.fetch(slow, soon(), "slow.example"))
    tasks = await busy_with(pool, readers, "slow.example", 50)
    await first
    assert pool.backlog_seconds == pool.seconds_before(soon(1000)) == 0
    await pool.fetch(slow, soon(5), "other.example")
    with pytest.raises(Overloaded, match="host"):
        await pool.fetch(slow, soon(1, priority=Priority.BATCH), "slow.example")
    # Others share what it leaves: one thread.
    tasks.append(asyncio.create_task(pool.fetch(readers.reader("other"), soon(1000), "other.example")))
    await until_async(lambda: "other" in readers.reading)
    tasks += [asyncio.create_task(pool.fetch(slow, soon(1000), "other.example")) for _ in range(4)]
    await until_async(lambda: len(pool) == 47 + 4)
    assert pool.seconds_before(soon(2000)) == pytest.approx(0.5)
    # The least urgent gives way, also one that waits for its host.
    assert pool.drop((Priority.INTERACTIVE, 0.0), Overloaded("no room"))
    assert len(pool) == 46 + 4
    await ended(pool, readers, tasks)


async def test_a_slow_host_tells_nothing_of_one_that_is_not_known() -> None:
    pool, readers = FetchPool(4), Readers()
    for host in "abcdefghij":
        await pool.fetch(partial(slow, 0.001), soon(), host)
    tasks = [asyncio.create_task(pool.fetch(partial(slow, 0.5), soon(), "slow.example")) for _ in range(9)]
    await asyncio.wait(tasks)
    # Of which three are read at once.
    tasks = [asyncio.create_task(pool.fetch(readers.reader(f"{n}"), soon(0.4), "quick")) for n in range(9)]
    await until_async(lambda: len(pool) == 6)
    tasks.append(asyncio.create_task(pool.fetch(readers.reader("other"), soon(), "other")))
    await until_async(lambda: "other" in readers.reading)
    assert pool.backlog_seconds < 0.1
    await ended(pool, readers, tasks)


async def test_slow_hosts_tell_nothing_of_what_is_not_bounded() -> None:
    pool, readers = FetchPool(4), Readers()
    await pool.fetch(partial(slow, 0.001), soon())
    for host in "abcd":
        await pool.fetch(slow, soon(), host)
    tasks = await busy_with(pool, readers, "slow.example", 3)
    tasks.append(asyncio.create_task(pool.fetch(readers.reader("other"), soon(), "other")))
    await until_async(lambda: "other" in readers.reading)
    tasks += [asyncio.create_task(pool.fetch(readers.reader(f"file {n}"), soon())) for n in range(100)]
    await until_async(lambda: len(pool) == 100)
    assert pool.backlog_seconds < 0.5
    await ended(pool, readers, tasks)


async def test_a_slow_host_below_its_limit_is_no_wait_for_those_who_wait_for_a_quick_one() -> None:
    pool, readers = FetchPool(4), Readers()
    tasks: list[asyncio.Task[Fetched]] = []
    for pause, host, count in ((1.0, "slow.example", 2), (0.01, "quick.example", 52)):
        first = asyncio.create_task(pool.fetch(partial(slow, pause), soon(), host))
        names = [f"{host} {number}" for number in range(count)]
        tasks += [asyncio.create_task(pool.fetch(readers.reader(name), soon(1000), host)) for name in names]
        await first
    await until_async(lambda: len(pool) == 50)
    # Two threads for what takes 10 ms each.
    assert pool.backlog_seconds == pytest.approx(0.255)
    await ended(pool, readers, tasks)


async def seconds_of_estimates(media: int, hosts: int) -> float:
    """Processor time of many estimates while so many media of 16 requests wait or are read."""
    pool, readers = FetchPool(16), Readers()
    urgencies = [soon(1000 + number) for number in range(16)]
    tasks = [
        asyncio.create_task(
            pool.fetch(readers.reader(str(number)), urgencies[number % 16], f"{number % hosts}.example")
        )
        for number in range(media)
    ]
    await until_async(lambda: len(pool) == media - (12 if hosts == 1 else 16))
    start = time.thread_time()
    for _ in range(200):
        _ = pool.backlog_seconds
        pool.seconds_before(soon(2000))
    took = time.thread_time() - start
    await ended(pool, readers, tasks)
    return took


@pytest.mark.parametrize("hosts", [1, 2, 4096])
async def test_what_waits_is_not_gone_through_for_each_newcomer(hosts: int) -> None:
    assert await seconds_of_estimates(4096, hosts) < 8 * await seconds_of_estimates(64, hosts)


async def test_a_host_that_is_given_up_while_it_is_read_keeps_its_place_until_it_is_done() -> None:
    pool, readers = FetchPool(4), Readers()
    for task in await busy_with(pool, readers, "slow.example", 3):
        task.cancel()
    next_one = asyncio.create_task(pool.fetch(readers.reader("next"), soon(1000), "slow.example"))
    await until_async(lambda: len(pool))
    assert "next" not in readers.reading
    readers.end_all()
    await until_async(lambda: "next" in readers.reading)
    readers.end("next")
    await next_one
    pool.close()
