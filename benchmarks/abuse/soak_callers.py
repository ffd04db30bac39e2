"""The callers of a soak, in a process of their own that may be killed: each outcome is a line of a file.

As a program: `python -m benchmarks.abuse.soak_callers JOB`, where JOB is a `CallersJob` as a JSON file.
"""

import asyncio
import json
import random
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from benchmarks.abuse.outcome import CANCELLED, OK, SWAPPED, Outcome
from benchmarks.callers.arrivals import poisson
from clients import AsyncDetector, DetectionError
from deepfake.v1 import detector_pb2 as pb


@dataclass(frozen=True, slots=True)
class CallersJob:
    """What to do.

    Attributes:
        target: host:port.
        media: files to send.
        weights: how often to send each.
        rate: requests a second that arrive at random, whatever becomes of the others (open loop);
            0: `callers` that each send the next request when the last is answered (closed loop).
        callers: in the closed loop.
        seconds: after which no new request is sent.
        deadline: seconds, of each request.
        cancel_share: of requests that their caller gives up on at a random moment.
        outcomes: file that gets an `Outcome` as JSON for each request, line by line.
    """

    target: str
    media: list[str]
    weights: list[float]
    rate: float
    callers: int
    seconds: float
    deadline: float
    cancel_share: float
    seed: int
    outcomes: str


class Callers:
    """All callers of one job."""

    def __init__(self, job: CallersJob, outcomes: TextIO) -> None:
        self._job = job
        self._outcomes = outcomes
        # Another one than the arrivals', which are drawn from the seed itself.
        self._random = random.Random(f"media {job.seed}")
        self._contents = [Path(file).read_bytes() for file in job.media]
        self._sent = 0

    async def run(self) -> None:
        """Until the last request is answered."""
        async with AsyncDetector(self._job.target, timeout=self._job.deadline, retries=0) as detector:
            if self._job.rate:
                await self._open_loop(detector)
            else:
                end = time.monotonic() + self._job.seconds
                await asyncio.gather(*(self._closed_loop(detector, end) for _ in range(self._job.callers)))

    async def _closed_loop(self, detector: AsyncDetector, end: float) -> None:
        while time.monotonic() < end:
            await self._request(detector)

    async def _open_loop(self, detector: AsyncDetector) -> None:
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for due in poisson(self._job.rate, self._job.seconds, self._job.seed):
                await asyncio.sleep(begun + due - time.monotonic())
                group.create_task(self._request(detector))

    async def _request(self, detector: AsyncDetector) -> None:
        number = self._random.choices(range(len(self._contents)), self._job.weights)[0]
        gives_up = self._random.random() < self._job.cancel_share
        patience = self._random.uniform(0, 0.5 * self._job.deadline) if gives_up else None
        self._sent += 1
        wanted = f"{self._job.seed}-{self._sent}"
        request = pb.DetectRequest(id=wanted, media=[pb.Medium(content=self._contents[number])])
        start = time.monotonic()
        code, probability, version = CANCELLED, None, ""
        with suppress(TimeoutError):
            try:
                answer = await asyncio.wait_for(detector.Detect(request), patience)
                code = OK if answer.id == wanted else SWAPPED
                probability, version = answer.fake_probability, answer.model_version
            except DetectionError as error:
                code = error.code
        outcome = Outcome(number, code, time.monotonic() - start, probability, version)
        self._outcomes.write(json.dumps(asdict(outcome)) + "\n")


def main(file: str) -> None:
    job = CallersJob(**json.loads(Path(file).read_text()))
    with Path(job.outcomes).open("a", buffering=1) as outcomes:
        asyncio.run(Callers(job, outcomes).run())


if __name__ == "__main__":
    main(sys.argv[1])
