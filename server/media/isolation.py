"""A pool of decoding processes: a codec that crashes, hangs or eats memory costs its own request.

Each process is a fresh interpreter with its own thread here that feeds it. Fresh, and not forked
or made by multiprocessing: that works under threads and on every platform, and does not run a
caller's main module again.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from server.errors import (
    DeadlineExceeded,
    DecoderCrashed,
    DecodeTimeout,
    EngineFailed,
    MediaError,
    ShuttingDown,
)
from server.estimates import BySize
from server.media import wire
from server.media.decode_queue import DecodeJob, DecodeQueue
from server.media.limits import MediaLimits
from server.media.types import MediaKind, MediaRows, RowSpec
from server.urgency import NOT_URGENT, Urgency

# A worker that keeps its own time limit answers in time to stay alive.
_GRACE_SECONDS = 0.5
_START_SECONDS = 60.0
_END_SECONDS = 5.0
_SOCKET_BYTES = 2**20
# Names by number; those of real time but the first and last have none.
_SIGNALS = {known.value: known.name for known in signal.Signals}
# Freed memory that a worker keeps for the next medium.
_KEPT_BYTES = 64 * 2**20


class DecodePool:
    """Decodes media in `workers` processes.

    Args:
        workers: how many media are decoded at once.
        limits: of every medium.
        decoder: what the processes run, as "module:function" of the signature of
            `server.media.decode.decode`.
    """

    def __init__(
        self, workers: int, limits: MediaLimits, decoder: str = "server.media.decode:decode"
    ) -> None:
        self._queue = DecodeQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._limits = limits
        self._running_cost = 0.0
        self._threads_in_use = 0
        self._busy_seconds = 0.0
        self._seconds = BySize()
        self._workers = [_Worker(limits, decoder) for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), name=f"decode-{index}", daemon=True)
            for index, worker in enumerate(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def workers(self) -> int:
        """Media that can be decoded at once."""
        return len(self._workers)

    @property
    def waiting(self) -> int:
        """Media that wait for a decoder."""
        return len(self._queue)

    @property
    def busy_seconds(self) -> float:
        """How long decoders have worked, added up."""
        return self._busy_seconds

    @property
    def backlog_seconds(self) -> float:
        """Estimated cost of the media that wait for a decoder or have one."""
        return self._queue.cost + self._running_cost

    def seconds_before(self, urgency: Urgency) -> float:
        """The same of those that go before a medium of this urgency, if it came now."""
        return self._queue.cost_before(urgency) + self._running_cost

    def seconds(self, size: int) -> float:
        """Estimated seconds for which a medium of so many bytes keeps back those behind it."""
        return self._seconds.of(size) / len(self._workers)

    def least_urgent(self) -> Urgency | None:
        """Of the media that wait."""
        return self._queue.least_urgent()

    def drop(self, than: Urgency, error: Exception) -> bool:
        """Fails the least urgent medium that waits with `error`, if it is less urgent than `than`."""
        return self._queue.drop(than, error)

    def submit(
        self,
        data: bytes,
        spec: RowSpec,
        kind: MediaKind | None,
        urgency: Urgency = NOT_URGENT,
        cost: float = 0.0,
    ) -> Future[MediaRows]:
        """Queues one medium; cancelling the future before a worker takes it costs nothing.

        Args:
            urgency: the most urgent medium is decoded first, and none beyond its deadline.
            cost: estimated seconds for which it keeps back those behind it, here (`seconds`) and later.

        Returns:
            A future that raises what `server.media.decode.decode` raises, DecodeTimeout when the
            worker had to be killed, DecoderCrashed when it died, DeadlineExceeded when its time had
            passed before.

        Raises:
            ShuttingDown: the pool is closed.
        """
        job = DecodeJob(urgency, data, spec, kind, cost)
        self._queue.put(job)
        return job.future

    def close(self) -> None:
        """Cancels what waits, stops what runs (its futures raise ShuttingDown), ends the processes."""
        if self._closed:
            return
        self._closed = True
        self._queue.close()
        for worker in self._workers:
            worker.stop()
        for thread in self._threads:
            thread.join()
        for worker in self._workers:
            worker.end()

    def _serve(self, worker: "_Worker") -> None:
        while (job := self._queue.take()) is not None:
            if self._closed:
                job.future.cancel()
            if job.future.set_running_or_notify_cancel():
                self._decode(worker, job)
            del job  # it would keep its medium until the next one comes

    def _decode(self, worker: "_Worker", job: DecodeJob) -> None:
        left = job.urgency[1] - time.monotonic()
        if left < 0:
            job.future.set_exception(DeadlineExceeded("no time was left to decode the medium"))
            return
        cost, size = job.cost, len(job.data)
        threads = self._begin(cost)
        start = time.perf_counter()
        try:
            worker.wait_until_ready()
            # How long a decoder takes to start tells nothing of the medium that waits for it.
            start = time.perf_counter()
            job.future.set_result(worker.decode(job.data, job.spec, job.kind, left, threads))
        except BaseException as error:
            job.future.set_exception(ShuttingDown("the server stopped") if self._closed else error)
        finally:
            # The frames of an error, of which this is one, would keep the job, and that the error.
            del job
        seconds = time.perf_counter() - start
        self._seconds.learn(size, seconds)
        self._end(cost, seconds, threads)

    def _begin(self, cost: float) -> int:
        """How many threads a medium may use: those of the workers that have nothing to do."""
        with self._lock:
            threads = max(1, min(self._limits.max_threads, len(self._workers) - self._threads_in_use))
            self._threads_in_use += threads
            self._running_cost += cost
            return threads

    def _end(self, cost: float, seconds: float, threads: int) -> None:
        with self._lock:
            self._threads_in_use -= threads
            # Without the rest that sums of floats leave.
            self._running_cost = self._running_cost - cost if self._threads_in_use else 0.0
            self._busy_seconds += seconds


class _Worker:
    """One process, and the socket to it; used by one thread."""

    def __init__(self, limits: MediaLimits, decoder: str) -> None:
        self._limits, self._decoder = limits, decoder
        self._lock = threading.Lock()
        self._stopped = False
        self._ready = False
        self._start()

    def decode(
        self, data: bytes, spec: RowSpec, kind: MediaKind | None, timeout: float, threads: int
    ) -> MediaRows:
        limit = min(timeout, self._limits.decode_timeout_seconds)
        request = {"spec": wire.fields(spec), "kind": kind, "timeout": limit, "threads": threads}
        try:
            self._link.set_timeout(limit + _GRACE_SECONDS)
            self._link.send(request, [data])
            header, body = self._link.receive()
            if header.get("retires"):
                self._replace()
            return wire.read_answer(header, body)
        except TimeoutError as error:
            self._replace()
            raise DecodeTimeout(f"decoding took longer than {limit:g} s and was stopped") from error
        except MediaError:
            raise
        except Exception as error:
            # Dead, or taken over and talking nonsense: either way not to be used again.
            raise DecoderCrashed(f"the decoder died ({self._replace()})") from error

    def stop(self) -> None:
        """Ends the process for good; called from another thread than `decode`, which then fails."""
        with self._lock:
            self._stopped = True
            self._process.kill()

    def end(self) -> str:
        """Ends the process, and frees what it leaves behind; tells how it ended."""
        self._process.kill()
        code = self._process.wait()
        self._link.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return _SIGNALS.get(-code, f"exit status {code}")

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        memory = wire.new_memory()
        self._link = wire.Link(ours, memory)
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
            inherited = [theirs.fileno(), *([] if memory is None else [memory])]
            arguments = [self._decoder, json.dumps(asdict(self._limits)), *map(str, inherited)]
            self._process = subprocess.Popen(  # noqa: S603 - nothing of it comes from a request
                [sys.executable, "-m", "server.media.worker", *arguments],
                stdin=subprocess.PIPE,
                pass_fds=inherited,
                start_new_session=True,  # Ctrl-C is for the pool's owner, who decides when to stop
                env=_environment(self._limits),
            )
        self._ready = False

    def wait_until_ready(self) -> None:
        """To be called before `decode`. Raises EngineFailed if no process can be started."""
        if self._process.poll() is not None:
            self._replace()  # killed while it was idle, as for want of memory: not this medium's fault
        if self._ready:
            return
        try:
            self._link.set_timeout(_START_SECONDS)
            self._link.receive()
        except (EOFError, OSError) as error:
            with suppress(subprocess.TimeoutExpired):  # how it ends by itself tells more than a kill
                self._process.wait(_END_SECONDS)
            # No medium's fault: that would be a final answer, and nobody would try again.
            raise EngineFailed(f"no decoder can be started ({self._replace()})") from error
        self._ready = True

    def _replace(self) -> str:
        """Ends the process and starts another; tells how it ended."""
        ending = self.end()
        with self._lock:
            if not self._stopped:
                self._start()
        return ending


def _environment(limits: MediaLimits) -> dict[str, str]:
    # The same imports as here, and no threads of numerical libraries, which nothing in a decoder uses.
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    # glibc would give the pages of a picture back after each one, and get them anew for the next.
    kept = min(_KEPT_BYTES, limits.max_memory_bytes // 4)
    return os.environ | {
        "PYTHONPATH": path,
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        # Each arena of a thread would take 64 MiB of the address space that a decoder may have.
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_TRIM_THRESHOLD_": str(kept),
        "MALLOC_MMAP_THRESHOLD_": str(kept // 2),
    }
