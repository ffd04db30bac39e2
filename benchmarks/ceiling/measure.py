"""How much of a bare session's speed is left when the whole server is around it.

Measured in one run on the same rows, by turns and several times over, because machines drift:
a bare ONNX Runtime session in several layouts (its best one is the ceiling), our server with
decoded frames of the model's own size at several concurrencies, and the decode stage alone.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.callers.job import Job, run_apart
from benchmarks.material.media import generated_photos, photo
from benchmarks.peers.codecs import CODECS, Pixels
from benchmarks.serving import ServerProcess, serving
from benchmarks.yardstick.bare import BareSession, closed_loop, layouts
from clients import Detector
from server.engine.providers import usable_cores
from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.types import RowSpec

CONCURRENCY = (1, 8, 32)
DIFFERENT_ROWS = 32
PHOTOS = 8
CODEC = "detect"
TOLERANCE = 1e-4
DECODE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `model` is .../<name>/<version>/model.onnx; times are in seconds."""

    model: Path
    concurrency: tuple[int, ...] = CONCURRENCY
    rounds: int = 3
    seconds: float = 8.0
    warm_up: float = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.

    Attributes:
        rate: rows a second.
        latencies: seconds of each request or run.
        cpu: processor seconds that a row cost, in all processes.
        caller_cpu: how much of that the callers used.
    """

    rate: float
    latencies: list[float]
    cpu: float
    caller_cpu: float = 0.0


@dataclass(slots=True)
class Measured:
    """All samples, one a round, by what was measured.

    Attributes:
        bare, served: by layout, and by number of clients.
        wrong: answers that differ by more than TOLERANCE from the bare session's.
        failures: requests that failed, by status.
    """

    provider: str
    size: tuple[int, int]
    bare: dict[str, list[Sample]] = field(default_factory=dict)
    served: dict[int, list[Sample]] = field(default_factory=dict)
    decode: list[Sample] = field(default_factory=list)
    wrong: int = 0
    failures: dict[str, int] = field(default_factory=dict)


def measure(plan: Plan, report: Callable[[str], None]) -> Measured:
    """Runs the whole plan; `report` is told what is being measured.

    Raises:
        RuntimeError: the server does not start, or the callers fail.
    """
    with ExitStack() as stack:
        report("starting the server")
        server = stack.enter_context(_server(plan.model))
        with Detector(server.address) as detector:
            model = detector.model()
        size = model.frame_height, model.frame_width
        measured = Measured(model.execution_provider, size)
        frames = np.stack([photo(size[1], size[0], seed) for seed in range(DIFFERENT_ROWS)])
        bare = {
            str(layout): BareSession(plan.model, model.execution_provider, layout, frames)
            for layout in layouts(usable_cores())
        }
        expected = next(iter(bare.values())).probabilities()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        requests = _write_requests(frames, folder)
        port = int(server.address.rpartition(":")[2])
        decode = stack.enter_context(decoding(size))
        for number in range(plan.rounds):
            turn = f"round {number + 1} of {plan.rounds}: "
            # The one that is best on most machines last, next to the server: machines drift within seconds.
            for layout, session in reversed(bare.items()):
                report(f"{turn}bare session, {layout}")
                measured.bare.setdefault(layout, []).append(run_bare(session, plan.seconds, plan.warm_up))
            for concurrency in plan.concurrency:
                report(f"{turn}server, {concurrency} clients")
                job = Job(port, CODEC, requests, concurrency, plan.warm_up, plan.seconds)
                sample = _run_served(job, server, folder, expected, measured)
                measured.served.setdefault(concurrency, []).append(sample)
            report(f"{turn}decode stage")
            measured.decode.append(run_decode(decode, plan.seconds, plan.warm_up))
    return measured


def _server(model: Path) -> AbstractContextManager[ServerProcess]:
    version, name, repository = model.parents[:3]
    # The same few media come again and again, and are to be judged each time.
    uncached = ("--cache-max-bytes", "0")
    return serving(repository, "--model", name.name, "--model-version", version.name, *uncached)


def _write_requests(frames: NDArray[np.uint8], folder: Path) -> list[str]:
    pixels = Pixels(frames.shape[1], frames.shape[2], encoded=False)
    files = []
    for number, frame in enumerate(frames):
        file = folder / f"{number}.bin"
        file.write_bytes(CODECS[CODEC].encode(frame.tobytes(), pixels))
        files.append(str(file))
    return files


def run_bare(session: BareSession, seconds: float, warm_up: float) -> Sample:
    """The session in its layout; latencies are of runs."""
    before = time.process_time()
    runs = closed_loop(session.run, session.layout.callers, seconds, warm_up)
    used = time.process_time() - before
    rate = len(runs) * session.layout.rows / seconds
    return Sample(rate, runs, used / _rows(rate, seconds + warm_up))


def _run_served(
    job: Job, server: ServerProcess, folder: Path, expected: list[float], measured: Measured
) -> Sample:
    before = server.cpu_seconds()
    result = run_apart(job, folder)
    used = server.cpu_seconds() - before
    measured.wrong += sum(
        abs(probability - expected[number]) > TOLERANCE for number, probability in result.answers
    )
    for status, failed in result.failures.items():
        measured.failures[status] = measured.failures.get(status, 0) + failed
    rate = len(result.latencies) / job.seconds
    rows = _rows(rate, job.seconds + job.warm_up)
    return Sample(rate, result.latencies, (used + result.cpu_seconds) / rows, result.cpu_seconds / rows)


def _rows(rate: float, seconds: float) -> float:
    # Processor time is of the warm-up, too, so the rows that share it are those of both.
    return max(rate * seconds, 1.0)


def run_decode(decode: Callable[[int], object], seconds: float, warm_up: float) -> Sample:
    """The decoders with enough to do; see `decoding`."""
    family = psutil.Process().children(recursive=True)
    before = sum(sum(member.cpu_times()[:2]) for member in family) + time.process_time()
    runs = closed_loop(decode, 2 * usable_cores(), seconds, warm_up)
    used = sum(sum(member.cpu_times()[:2]) for member in family) + time.process_time() - before
    rate = len(runs) / seconds
    return Sample(rate, runs, used / _rows(rate, seconds + warm_up))


@contextmanager
def decoding(size: tuple[int, int]) -> Iterator[Callable[[int], object]]:
    """A pool of decoders, as a function that decodes the photo of a number to height × width."""
    photos = generated_photos(PHOTOS)
    spec = RowSpec(height=size[0], width=size[1])
    pool = DecodePool(usable_cores(), MediaLimits())
    try:
        yield lambda number: pool.submit(photos[number % PHOTOS], spec, None, DECODE_SECONDS).result()
    finally:
        pool.close()
