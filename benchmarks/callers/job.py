"""What callers are told to do, and what comes of it."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Job:
    """What to do.

    Attributes:
        port: of the server, on this machine.
        codec: the name in `benchmarks.peers.codecs` of how it is spoken to.
        messages: a file for each request to cycle through, encoded already.
        clients: that each send the next request when the last is answered (closed loop).
        rate: requests a second that arrive at random, whatever becomes of the others (open loop),
            instead of the clients; 0: closed loop.
        seed: of the arrivals.
        warm_up: seconds before the clock starts.
        seconds: on the clock.
        deadline: seconds within which an answer is good. In the open loop, where it counts from the
            arrival, callers tell it to the server, and give up when it has passed.
    """

    port: int
    codec: str
    messages: list[str]
    clients: int
    warm_up: float
    seconds: float
    deadline: float = math.inf
    rate: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it.

    Attributes:
        seconds: of the clock.
        latencies: seconds, of each answer on the clock.
        answers: [number of the message, fake probability] of each answer, on the clock or not.
        failures: how many by status, on the clock or not; DEADLINE_EXCEEDED if the caller gave up.
        cpu_seconds: of the callers, warm-up included.
    """

    seconds: float
    latencies: list[float]
    answers: list[tuple[int, float]]
    failures: dict[str, int]
    cpu_seconds: float


def run_apart(job: Job, folder: Path) -> Result:
    """Does the job in a process of its own, which leaves files in `folder`.

    Raises:
        RuntimeError: that fails; not if requests do.
    """
    file, answer = folder / "job.json", folder / "result.json"
    file.write_text(json.dumps(asdict(job)))
    command = [sys.executable, "-m", "benchmarks.callers.program", str(file), str(answer)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the callers failed: {done.stderr}")
    return Result(**json.loads(answer.read_text()))
