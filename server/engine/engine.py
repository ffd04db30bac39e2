"""The engine: workers that take a batch as soon as they are free, run it and hand out the answers."""

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass

from server.engine.batch import Counts, Rows, Scores
from server.engine.cost import warm_up
from server.engine.manifest import Manifest
from server.engine.providers import Provider
from server.engine.queue import Job, JobQueue
from server.engine.queue_delay import QueueDelay
from server.engine.session import Session
from server.engine.statistics import Statistics
from server.errors import EngineFailed, ShuttingDown
from server.urgency import Urgency

log = logging.getLogger(__name__)

_SERIALS = itertools.count()
_FAILURES_UNTIL_DEAD = 3
_LOOK_SECONDS = 0.5
# How many times its estimate a run may take, for sizes at which the estimate is poor.
_SLACK = 10


@dataclass(frozen=True, slots=True)
class _Busy:
    """What a worker runs: since when, and until when as far as is known, as time.monotonic()."""

    batch: list[Job]
    began: float
    end: float


class Engine:
    """Runs the session for many callers. Construct it warmed up and ready.

    While workers run batches, the next ones form in the queue; an idle worker waits for more only where
    `QueueDelay` says so.

    Args:
        session: the loaded graph.
        workers: batches at once; 0 for what suits the provider.
        max_batch_size: requests in a batch at most.
        max_batch_seconds: estimated seconds of a batch at most.
        max_queue_delay: seconds to wait for more requests when idle; None for what pays.
        run_timeout: seconds that a run may take beyond ten times its estimate.
        on_death: called once, from a thread of the engine, when runs keep failing or one does not end.
        on_batch: called from a worker with the jobs of a run and its seconds, before they are answered.
        lone: of the same graph, for a request that comes while nothing else runs or waits, nor is
            likely to do so soon; None: `session`.

    Attributes:
        serial: tells the engines of one process apart.
        statistics: of all runs but those of the warm-up.

    Raises:
        InvalidModel, EngineFailed: the graph cannot be prepared, or not in every worker.
        Exception: as ONNX Runtime does, if it cannot be run.
    """

    def __init__(
        self,
        session: Session,
        workers: int = 0,
        *,
        max_batch_size: int = 64,
        max_batch_seconds: float = 0.05,
        max_queue_delay: float | None = None,
        run_timeout: float = 60.0,
        on_death: Callable[[], None] = lambda: None,
        on_batch: Callable[[list[Job], float], None] | None = None,
        lone: Session | None = None,
    ) -> None:
        self.serial = next(_SERIALS)
        self.statistics = Statistics()
        self._session = session
        self._lone = lone
        self._costs = warm_up(session)
        workers = workers or session.provider.workers
        self._parallel = workers if session.provider.on_cpu else 1
        self._delay = QueueDelay(max_queue_delay)
        self._queue = JobQueue(
            max_batch_size,
            max_batch_seconds,
            self._delay,
            self._parallel,
            self._costs.fixed,
        )
        self._last_end = 0.0
        self._begun = 0
        self._run_timeout = run_timeout
        self._on_death = on_death
        self._on_batch = on_batch
        # In a row, by urgency, which the parts of one request share.
        self._failed_requests: set[Urgency] = set()
        self._dead, self._closed = threading.Event(), threading.Event()
        # By worker; None while it is idle.
        self._running: list[_Busy | None] = [None] * workers
        self._workers = [
            threading.Thread(target=self._work, args=(number,), name=f"engine-{number}", daemon=True)
            for number in range(workers)
        ]
        self._attached = threading.Barrier(workers + 1)
        self._not_ready: list[Exception] = []
        for worker in self._workers:
            worker.start()
        self._attached.wait()
        self._watch = threading.Thread(target=self._look_for_hanging_runs, name="engine-watch", daemon=True)
        self._watch.start()
        if self._not_ready:
            self.close()
            raise self._not_ready[0]
        log.info("engine ready: %d workers; %s", workers, self._costs)

    @property
    def manifest(self) -> Manifest:
        return self._session.manifest

    @property
    def provider(self) -> Provider:
        return self._session.provider

    @property
    def backlog_seconds(self) -> float:
        """Estimated seconds until a request that comes now would be run, if all others went first."""
        return self._seconds_until_free() + self._queue.cost / self._parallel

    @property
    def waiting(self) -> int:
        """Requests that wait to be run."""
        return len(self._queue)

    @property
    def workers(self) -> int:
        """Batches that can be run at once."""
        return len(self._workers)

    @property
    def running(self) -> int:
        """Batches that are being run."""
        return sum(running is not None for running in self._running)

    def seconds_before(self, urgency: Urgency) -> float:
        """Estimated seconds until a request of this urgency would be run, if it came now."""
        return self._seconds_until_free() + self._queue.cost_before(urgency) / self._parallel

    def seconds(self, counts: Counts) -> float:
        """Estimated seconds for which so many image rows, clips and windows keep back what is behind them."""
        return self._costs.seconds(counts) / self._parallel

    def least_urgent(self) -> Urgency | None:
        """Of the requests that wait."""
        return self._queue.least_urgent()

    def drop(self, than: Urgency, error: Exception) -> bool:
        """Fails the least urgent request that waits with `error`, if it is less urgent than `than`."""
        return self._queue.drop(than, error)

    def submit(self, rows: Rows, urgency: Urgency) -> "Future[Scores]":
        """Queues one request.

        Cancelling the future, or passing the deadline, drops the request if it is not running yet.

        Raises:
            ShuttingDown: after `close`.

        The future raises:
            DeadlineExceeded: too late to run.
            EngineFailed: the graph could not be run on these rows.
        """
        costs = self._costs
        share = max(costs.share(rows), self._session.share(rows))
        job = Job(urgency, time.monotonic(), rows, costs.seconds(rows.counts), share)
        self._queue.put(job)
        return job.future

    def close(self) -> None:
        """Finishes what is queued, and stops; leaves runs that hang behind. Blocks."""
        self._queue.close()
        for worker in self._workers:
            while worker.is_alive() and not self._dead.is_set():
                worker.join(_LOOK_SECONDS)
        self._closed.set()
        self._watch.join()

    def _work(self, number: int) -> None:
        self._attach()
        while (batch := self._queue.take()) is not None:
            self._running[number] = self._busy(batch)
            self._begun += 1
            with suppress(InvalidStateError):  # it was given up as hanging
                self._run(batch)
            self._running[number] = None
            del batch  # an idle worker would keep its rows

    def _attach(self) -> None:
        try:
            self._session.attach()
        except Exception as error:
            # One only: the engine is in the frames of each, and would stay with those that nobody raises.
            self._not_ready[:] = [error]
        self._attached.wait()

    def _busy(self, batch: list[Job]) -> _Busy:
        now = time.monotonic()
        return _Busy(batch, now, now + self._costs.fixed + sum(job.cost for job in batch))

    def _seconds_until_free(self) -> float:
        """Estimated seconds until something else can be run."""
        now = time.monotonic()
        left = [max(0.0, run.end - now) for run in self._running if run]
        if len(left) < self.workers:
            return 0.0
        # One device does one thing after the other.
        return min(left) if self.provider.on_cpu else sum(left)

    def _run(self, batch: list[Job]) -> None:
        for indices in self._session.groups([job.rows for job in batch]):
            jobs = [batch[index] for index in indices]
            for job, answer in zip(jobs, self._scored(jobs), strict=True):
                if isinstance(answer, Scores):
                    job.future.set_result(answer)
                else:
                    job.future.set_exception(answer)

    def _scored(self, jobs: list[Job]) -> list[Scores | EngineFailed]:
        begun, beside = self._begun, self.running - 1
        lone = self._lone if self._delay.usually_alone and not (beside or self.waiting) else None
        start = time.monotonic()
        try:
            answers = (lone or self._session).run([job.rows for job in jobs])
        except Exception as error:
            return self._failed(jobs, error)
        self._failed_requests.clear()
        end = time.monotonic()
        seconds = end - start
        self._delay.learn(len(jobs) + self.waiting + beside + self._begun - begun, self._costs.fixed)
        if lone is None:
            self._learn(jobs, start, end)
        if self._on_batch:
            self._on_batch(jobs, seconds)
        self.statistics.ran(len(jobs), sum(start - job.enqueued for job in jobs), seconds)
        for job, scores in zip(jobs, answers, strict=True):
            scores.queue_seconds = start - job.enqueued
            scores.inference_seconds = seconds
            scores.batch_requests = len(jobs)
        return [
            scores
            if math.isfinite(scores.fake_probability)
            else EngineFailed("the model has no number for this medium")
            for scores in answers
        ]

    def _learn(self, jobs: list[Job], start: float, end: float) -> None:
        # A device does one run after the other: this one began when the one before had ended.
        began = start if self._session.provider.on_cpu else max(start, self._last_end)
        self._last_end = end
        images, clips, windows = zip(*(job.rows.counts for job in jobs), strict=True)
        self._costs = self._costs.corrected((sum(images), sum(clips), sum(windows)), end - began)

    def _failed(self, jobs: list[Job], error: Exception) -> list[Scores | EngineFailed]:
        if len(jobs) > 1:
            # One request's rows may be the cause; the others shall not pay for it.
            return [answer for job in jobs for answer in self._scored([job])]
        log.error("the graph could not be run", exc_info=error)
        self.statistics.failed(time.monotonic() - jobs[0].enqueued)
        # Of more rows than are prepared for, a device may have no room, and yet run all others.
        if self._session.share(jobs[0].rows) <= 1:
            self._failed_requests.add(jobs[0].urgency)
        if len(self._failed_requests) >= _FAILURES_UNTIL_DEAD:
            self._die("runs keep failing")
        return [EngineFailed(f"the graph could not be run: {error}")]

    def _look_for_hanging_runs(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS) and not self._dead.is_set():
            for busy in self._running:
                if busy and self._hangs(busy):
                    self._die("a run does not end")
                    for job in busy.batch:
                        with suppress(InvalidStateError):
                            job.future.set_exception(EngineFailed("the graph did not finish on this batch"))

    def _hangs(self, busy: _Busy) -> bool:
        return time.monotonic() - busy.began > self._run_timeout + _SLACK * (busy.end - busy.began)

    def _die(self, why: str) -> None:
        if self._dead.is_set():
            return
        log.critical("the engine is dead: %s", why)
        self._dead.set()
        for job in self._queue.abandon():
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(ShuttingDown("the engine died before this request was run"))
        self._on_death()
