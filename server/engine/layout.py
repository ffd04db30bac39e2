"""How the cores are divided: runs at once, threads inside each, and threads of a run that is alone.

On most CPUs many runs of one thread each answer the most requests a second, and a request that has the
machine to itself is answered soonest by all cores together.
"""

import logging
import threading
import time
from dataclasses import dataclass

from server.engine.batch import one_row_each
from server.engine.cores import usable_cores
from server.engine.session import Session

log = logging.getLogger(__name__)

_SECONDS = 0.1
_REPEATS = 3
# Factors that more threads must gain, for runs at once and for a lone one, whose session costs memory.
_GAIN, _LONE_GAIN = 1.25, 1.1
# A shorter run is mostly Python's work, and its lock lets only one thread work at a time.
_SHORT_SECONDS = 0.0005
_NOTE = "layout"


@dataclass(frozen=True, slots=True)
class Layout:
    """What an engine runs on.

    Attributes:
        session: for runs at the same time.
        workers: how many of them.
        lone: for a run while there is no other; None if that is no faster on it.
    """

    session: Session
    workers: int
    lone: Session | None = None


def divide_cores(
    session: Session, workers: int = 0, threads: int = 0, like: Layout | None = None, cores: int = 0
) -> Layout:
    """Measured on the CPU, or remembered from an earlier start, unless a number is given.

    Args:
        session: of `threads` or one thread.
        workers: runs at once; 0 for what is best.
        threads: inside each run; 0 for what is best.
        like: what is in use now, which would spoil a measurement; to be divided as it is.
        cores: to be divided; 0 for all that there are.
    """
    cores = cores or usable_cores()
    if workers or threads or not session.provider.on_cpu or cores == 1:
        suits = cores if session.provider.on_cpu else session.provider.workers
        return Layout(session, workers or (max(1, suits // threads) if threads else suits))
    if like:
        return _layout(session, like.workers, like.session.threads, _threads(like.lone))
    found = _remembered(session, cores)
    if found is None:
        found = _measured(session, cores)
        # On a busy machine more threads may only seem to gain nothing: that is not remembered.
        if found.workers < cores or found.lone:
            session.remember(_NOTE, [cores, found.workers, found.session.threads, _threads(found.lone)])
    log.info(
        "%d runs at once on %d threads each, a lone run on %d",
        found.workers,
        found.session.threads,
        _threads(found.lone) or found.session.threads,
    )
    return found


def _measured(session: Session, cores: int) -> Layout:
    """Doubles the threads as long as that makes runs at once, or a lone one, faster."""
    seconds = _seconds_alone(session)
    if seconds < _SHORT_SECONDS:
        return Layout(session, 1)
    best, lone = Layout(session, cores), session
    rate = _runs_per_second(session, cores)
    threads = 2
    while threads <= cores:
        wider = session.with_threads(threads)
        wider_rate, wider_seconds = _runs_per_second(wider, cores // threads), _seconds_alone(wider)
        log.info(
            "%d threads a run: %.1f runs/s and %.1f ms alone; before %.1f runs/s and %.1f ms",
            *(threads, wider_rate, 1000 * wider_seconds, rate, 1000 * seconds),
        )
        faster, sooner = wider_rate > _GAIN * rate, seconds > _LONE_GAIN * wider_seconds
        if faster:
            best, rate = Layout(wider, cores // threads), wider_rate
        if sooner:
            lone, seconds = wider, wider_seconds
        if not (faster or sooner):
            break
        threads *= 2
    return Layout(best.session, best.workers, None if lone is best.session else lone)


def _remembered(session: Session, cores: int) -> Layout | None:
    match session.recall(_NOTE):
        case [int(then), int(workers), int(threads), int(lone)] if (
            then == cores and min(workers, threads) > 0
        ):
            return _layout(session, workers, threads, lone)
    return None


def _layout(session: Session, workers: int, threads: int, lone: int) -> Layout:
    """Of these numbers; no threads for a lone run mean that it gets no session of its own."""
    sessions = {number: session.with_threads(number) for number in {threads, lone} - {0, session.threads}}
    sessions[session.threads] = session
    return Layout(sessions[threads], workers, sessions.get(lone))


def _threads(session: Session | None) -> int:
    return session.threads if session else 0


def _seconds_alone(session: Session) -> float:
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        session.run([one_row_each(session.manifest)])
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _runs_per_second(session: Session, callers: int) -> float:
    """Of so many callers at once, each with a row of everything."""
    rows = [one_row_each(session.manifest)]
    session.run(rows)
    start = time.perf_counter()
    ends: list[float] = []

    def call() -> None:
        # Once in any case: on a busy machine a thread may begin when the time is over.
        session.run(rows)
        ends.append(time.perf_counter())
        while ends[-1] < start + _SECONDS:
            session.run(rows)
            ends.append(time.perf_counter())

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(ends) / (max(ends) - start)
