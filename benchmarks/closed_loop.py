"""Callers that each send the next request when the last is answered, in a process of their own.

As a program (`python -m benchmarks.closed_loop JOB`) it reads a `Job` from a JSON file, and writes a
`Result` as JSON to stdout. Requests are ready-made bytes and answers are read after the clock has
stopped, so that next to nothing of the client's own work is in the figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

import grpc

from deepfake.v1 import detector_pb2 as pb

DETECT = "/deepfake.v1.Detector/Detect"


@dataclass(frozen=True, slots=True)
class Job:
    """What to do.

    Attributes:
        target: host:port.
        requests: a file for each request to cycle through: a serialised DetectRequest.
        concurrency: callers.
        warm_up: seconds before the clock starts.
        seconds: on the clock.
    """

    target: str
    requests: list[str]
    concurrency: int
    warm_up: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it, on the clock.

    Attributes:
        latencies: seconds, of each answer.
        answers: [number of the request, fake_probability] of each answer.
        failures: how many by gRPC status, warm-up included.
        cpu_seconds: of this process, warm-up included.
    """

    seconds: float
    latencies: list[float]
    answers: list[tuple[int, float]]
    failures: dict[str, int] = field(default_factory=dict)
    cpu_seconds: float = 0.0


def run_apart(job: Job, folder: Path) -> Result:
    """Does the job in a process of its own. Raises RuntimeError if that fails."""
    file = folder / "job.json"
    file.write_text(json.dumps(asdict(job)))
    command = [sys.executable, "-m", "benchmarks.closed_loop", str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"the callers failed: {done.stderr}")
    return Result(**json.loads(done.stdout))


def run(job: Job) -> Result:
    """Does the job here."""
    payloads = [Path(file).read_bytes() for file in job.requests]
    numbers = count()
    answers: list[tuple[float, float, int, bytes]] = []
    failures: Counter[str] = Counter()
    before = time.process_time()
    start = time.perf_counter() + job.warm_up
    end = start + job.seconds

    def caller(call: grpc.UnaryUnaryMultiCallable[bytes, bytes]) -> None:
        while (sent := time.perf_counter()) < end:
            number = next(numbers) % len(payloads)
            try:
                answer = call(payloads[number])
            except grpc.RpcError as error:
                failures[error.code().name] += 1
                continue
            answers.append((sent, time.perf_counter(), number, answer))

    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(job.target, options) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(DETECT)
        callers = [threading.Thread(target=caller, args=(call,)) for _ in range(job.concurrency)]
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join()
    used = time.process_time() - before
    timed = [answer for answer in answers if start <= answer[1] < end]
    return Result(
        seconds=job.seconds,
        latencies=[received - sent for sent, received, _, _ in timed],
        answers=[(number, _probability(answer)) for _, _, number, answer in timed],
        failures=dict(failures),
        cpu_seconds=used,
    )


def _probability(answer: bytes) -> float:
    return pb.DetectResponse.FromString(answer).fake_probability


if __name__ == "__main__":
    print(json.dumps(asdict(run(Job(**json.loads(Path(sys.argv[1]).read_text()))))))
