"""How much of a bare session's speed is left when the whole server is around it.

Measured in one run on the same rows, by turns and several times over:
a bare ONNX Runtime session in several layouts (its best one is the ceiling), our server with
decoded frames of the model's own size at several concurrencies, and the decode stage alone.
"""

import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.callers.job import Job, run_apart
from benchmarks.material.media import photo_rows
from benchmarks.peers.codecs import Pixels, write_messages
from benchmarks.report.turns import Report, by_turns
from benchmarks.serving import ServerProcess, of_model, serving
from benchmarks.yardstick import decoders
from benchmarks.yardstick.bare import bare_sessions, layouts
from benchmarks.yardstick.sample import TOLERANCE, Sample, rows_in, wrong_answers
from clients import Detector
from server.engine.cores import usable_cores

CONCURRENCY = (1, 8, 32)
DIFFERENT_ROWS = 32
CODEC = "detect"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `model` is .../<name>/<version>/model.onnx; times are in seconds."""

    model: Path
    concurrency: tuple[int, ...] = CONCURRENCY
    rounds: int = 3
    seconds: float = 8.0
    warm_up: float = 1.0


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
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def problems(self) -> list[str]:
        """What must not be; empty if all is well."""
        if not self.failures and not self.wrong:
            return []
        return [f"failures {dict(self.failures)}, wrong answers {self.wrong}"]


def measure(plan: Plan, report: Report) -> Measured:
    """Runs the whole plan; `report` is told what is being measured.

    Raises:
        RuntimeError: the server does not start, or the callers fail.
    """
    with ExitStack() as stack:
        report("starting the server")
        # The same few media come again and again, and are to be judged each time.
        server = stack.enter_context(serving(*of_model(plan.model), "--cache-max-bytes", "0"))
        with Detector(server.address) as detector:
            model = detector.model()
        size = model.frame_height, model.frame_width
        measured = Measured(model.execution_provider, size)
        frames = photo_rows(*size, DIFFERENT_ROWS)
        bare = bare_sessions(plan.model, model.execution_provider, layouts(usable_cores()), frames)
        expected = next(iter(bare.values())).probabilities()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pixels = Pixels(*size, encoded=False)
        requests = write_messages(CODEC, [frame.tobytes() for frame in frames], pixels, folder)
        decode = stack.enter_context(decoders.decoding(size))
        for _, tell in by_turns(plan.rounds, report):
            # The one that is best on most machines last, next to the server: machines drift within seconds.
            for layout, session in reversed(bare.items()):
                tell(f"bare session, {layout}")
                measured.bare.setdefault(layout, []).append(session.sample(plan.seconds, plan.warm_up))
            for concurrency in plan.concurrency:
                tell(f"server, {concurrency} clients")
                job = Job(server.port, CODEC, requests, concurrency, plan.warm_up, plan.seconds)
                sample = _run_served(job, server, folder, expected, measured)
                measured.served.setdefault(concurrency, []).append(sample)
            tell("decode stage")
            measured.decode.append(decoders.sample(decode, plan.seconds, plan.warm_up))
    return measured


def _run_served(
    job: Job, server: ServerProcess, folder: Path, expected: list[float], measured: Measured
) -> Sample:
    before = server.cpu_seconds()
    result = run_apart(job, folder)
    used = server.cpu_seconds() - before
    measured.wrong += wrong_answers(result.answers, expected, TOLERANCE)
    measured.failures.update(result.failures)
    rate = len(result.latencies) / job.seconds
    rows = rows_in(rate, job.seconds, job.warm_up)
    return Sample(rate, result.latencies, (used + result.cpu_seconds) / rows, result.cpu_seconds / rows)
