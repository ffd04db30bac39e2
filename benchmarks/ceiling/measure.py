"""How much of a bare session's speed is left when the whole server is around it.

Measured in one run, by turns and several times over: a bare ONNX Runtime session in several layouts (its
best one is the ceiling), our server with decoded frames of the model's own size and with photos at several
concurrencies, and the decode stage alone.
"""

import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import grpc

from benchmarks.callers.job import Job, run_apart
from benchmarks.material.media import generated_photos, photo_rows
from benchmarks.peers.codecs import Pixels, write_messages
from benchmarks.report.turns import Report, by_turns
from benchmarks.serving import NO_CACHE, ServerProcess, of_model, serving
from benchmarks.yardstick import decoders
from benchmarks.yardstick.bare import bare_sessions
from benchmarks.yardstick.sample import TOLERANCES, Sample, wrong_answers
from clients import Detector
from deepfake.v1 import detector_pb2
from deepfake.v1.detector_pb2_grpc import DetectorStub
from server.engine.manifest import Precision
from server.engine.precision import PrecisionWish
from server.engine.providers import Wish, candidates
from server.engine.repository import graph_file

CONCURRENCY = (1, 8, 32)
DIFFERENT_ROWS = 32
CODEC = "detect"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `model` is .../<name>/<version>/model.onnx; times are in seconds.

    Attributes:
        provider, precision, processes: flags of the server.
    """

    model: Path
    concurrency: tuple[int, ...] = CONCURRENCY
    rounds: int = 3
    seconds: float = 8.0
    warm_up: float = 1.0
    provider: Wish = "auto"
    precision: PrecisionWish = "auto"
    processes: int = 1

    @property
    def flags(self) -> list[str]:
        chosen = ["--provider", self.provider, "--precision", self.precision]
        return [*of_model(self.model), *NO_CACHE, *chosen, "--processes", str(self.processes)]


@dataclass(slots=True)
class Measured:
    """All samples, one a round, by what was measured.

    Attributes:
        bare: by layout.
        served, photos: by number of clients, with decoded frames and with encoded photos.
        wrong: answers that differ by more than is due to rounding from those to the same medium alone.
        failures: requests that failed, by status.
    """

    provider: str
    size: tuple[int, int]
    bare: dict[str, list[Sample]] = field(default_factory=dict)
    served: dict[int, list[Sample]] = field(default_factory=dict)
    photos: dict[int, list[Sample]] = field(default_factory=dict)
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
        server = stack.enter_context(serving(*plan.flags))
        with Detector(server.address) as detector:
            model = detector.model()
        size = model.frame_height, model.frame_width
        measured = Measured(model.execution_provider, size)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        precision = cast("Precision", model.manifest["precision"])
        frames = photo_rows(*size, DIFFERENT_ROWS)
        provider = next(each for each in candidates(plan.provider) if each.name == model.execution_provider)
        bare = bare_sessions(graph_file(plan.model, precision), (provider.name, provider.options), frames)
        expected = next(iter(bare.values())).probabilities()
        caller = _Caller(plan, server, folder, TOLERANCES[precision], measured)
        tensors = caller.messages("tensors", [frame.tobytes() for frame in frames], encoded=False)
        photos = caller.messages("photos", generated_photos(decoders.PHOTOS), encoded=True)
        alone = [caller.alone(message) for message in photos]
        decode = stack.enter_context(decoders.decoding(size))
        for _, tell in by_turns(plan.rounds, report):
            # The one that is best on most machines last, next to the server: machines drift within seconds.
            for layout, session in reversed(bare.items()):
                tell(f"bare session, {layout}")
                measured.bare.setdefault(layout, []).append(session.sample(plan.seconds, plan.warm_up))
            for clients in plan.concurrency:
                tell(f"server, {clients} clients")
                measured.served.setdefault(clients, []).append(caller.sample(tensors, clients, expected))
            tell("decode stage")
            measured.decode.append(decoders.sample(decode, plan.seconds, plan.warm_up))
            for clients in plan.concurrency:
                tell(f"server, photos, {clients} clients")
                measured.photos.setdefault(clients, []).append(caller.sample(photos, clients, alone))
    return measured


@dataclass(frozen=True, slots=True)
class _Caller:
    """Asks the server, and counts what goes wrong in `measured`."""

    plan: Plan
    server: ServerProcess
    folder: Path
    tolerance: float
    measured: Measured

    def messages(self, name: str, payloads: list[bytes], encoded: bool) -> list[str]:
        """Files with a request of each payload."""
        folder = self.folder / name
        folder.mkdir()
        return write_messages(CODEC, payloads, Pixels(*self.measured.size, encoded), folder)

    def alone(self, message: str) -> float:
        """The answer to one request, while there is no other."""
        with grpc.insecure_channel(self.server.address) as channel:
            request = detector_pb2.DetectRequest.FromString(Path(message).read_bytes())
            return DetectorStub(channel).Detect(request).fake_probability

    def sample(self, messages: list[str], clients: int, expected: list[float]) -> Sample:
        """Each client asks again once it is answered."""
        plan, before = self.plan, self.server.cpu_seconds()
        result = run_apart(
            Job(self.server.port, CODEC, messages, clients, plan.warm_up, plan.seconds), self.folder
        )
        used = self.server.cpu_seconds() - before
        self.measured.wrong += wrong_answers(result.answers, expected, self.tolerance)
        self.measured.failures.update(result.failures)
        rate = len(result.latencies) / plan.seconds
        rows = max(1, len(result.answers))
        return Sample(rate, result.latencies, (used + result.cpu_seconds) / rows, result.cpu_seconds / rows)
