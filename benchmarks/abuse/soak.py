"""A long time under load, and under abuse: is every answer right, and does memory stay flat?

Each medium is first judged alone; whatever load is on the server later, its answer must be the same.
The abuse: requests arrive at a multiple of the server's capacity, a fifth of the files are
broken, callers give up at random moments, processes of callers are killed, and halfway the
model is replaced by another version. What is refused because of the load is no error; an answer
that is wrong, swapped, missing or late is one.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks.abuse.soak_callers import CANCELLED, OK, CallersJob, Outcome
from benchmarks.material.media import generated_media
from benchmarks.report.figures import growth, percentile
from benchmarks.serving import ServerProcess, serving
from clients import DetectionError, Detector
from server.engine.manifest import METADATA_KEY

TOLERANCE = 1e-5
REFUSED = {"OVERLOADED"}
LATE = {"DEADLINE_EXCEEDED"}
SHARES = {"image": 8.0, "video": 1.0, "audio": 2.0}
# Of the load, the share before the model is replaced.
REPLACE_AFTER = 0.5
KILL_EVERY_SECONDS = 20.0
PROCESSES = 3
WARM_UP_SECONDS = 10.0
GRACE_SECONDS = 30.0
# Files that the server has judged before would be answered without any work.
FLAGS = ("--cache-max-entries", "0", "--model-poll-seconds", "1")


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """What to do. `model` is .../<name>/<version>/model.onnx.

    Attributes:
        seconds: of load.
        clients: callers of the closed loop, and of the one that measures the capacity.
        load: arrivals as a multiple of the capacity; 0: a closed loop of `clients`, without any abuse.
        deadline: seconds, of each request.
        broken_share: of requests with a broken file.
        cancel_share: of requests that are given up.
    """

    model: Path
    seconds: float
    clients: int = 32
    load: float = 2.0
    deadline: float = 10.0
    broken_share: float = 0.2
    cancel_share: float = 0.05

    @property
    def abusive(self) -> bool:
        return self.load > 0


@dataclass(slots=True)
class Soaked:
    """What came of it.

    Attributes:
        capacity: answers a second in the closed loop, with callers on the same machine; 0 if not measured.
        outcomes: how many by code.
        wrong: the first requests whose outcome is neither that of their medium alone nor a refusal.
        mistakes: how many there are.
        latencies: seconds of those that were answered, verdict or not.
        versions: how many answers by version of the model.
        killed: processes of callers.
        memory: bytes of the server and its decoders, once a second.
    """

    capacity: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    mistakes: int = 0
    latencies: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    killed: int = 0
    memory: list[int] = field(default_factory=list)

    @property
    def late_share(self) -> float:
        """Of accepted requests, those that missed their deadline."""
        late = sum(self.outcomes[code] for code in LATE)
        return late / max(1, late + len(self.latencies))

    @property
    def memory_growth(self) -> float:
        """After the warm-up."""
        return growth(self.memory[round(WARM_UP_SECONDS) :] or self.memory)

    def problems(self, plan: SoakPlan) -> list[str]:
        """What must not be; empty if all is well."""
        found = list(self.wrong)
        if self.mistakes > len(self.wrong):
            found.append(f"{self.mistakes - len(self.wrong)} more wrong outcomes")
        if not self.latencies:
            found.append("nothing was answered")
        if self.late_share > 0.01:
            found.append(f"{self.late_share:.1%} of the accepted requests missed their deadline")
        if plan.seconds >= 60 and abs(self.memory_growth) > 0.10:
            found.append(f"memory changed by {self.memory_growth:+.1%}")
        if plan.abusive and len(self.versions) < 2:
            found.append(f"the model was not replaced: versions {sorted(self.versions)}")
        return found


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is sent, and what each of it must be answered with: a code, and a probability or None."""

    files: list[str]
    weights: list[float]
    expected: list[tuple[str, float | None]]


def soak(plan: SoakPlan, report: Callable[[str], None]) -> Soaked:
    """Runs the whole plan; `report` is told what is going on.

    Raises:
        RuntimeError: the server does not start, or dies; callers that nobody killed die.
    """
    soaked = Soaked()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = folder / "models"
        _publish(plan.model, repository, "1")
        report("starting the server")
        with serving(repository, *FLAGS) as server:
            report("judging each medium alone")
            corpus = _corpus(folder, plan, server.address)
            if plan.abusive:
                report("measuring the capacity")
                soaked.capacity = _capacity(plan, corpus, server, folder)
            _under_load(plan, corpus, server, folder, soaked, report)
            _judge(_outcomes(folder), corpus, soaked)
    return soaked


def _publish(model: Path, repository: Path, version: str) -> None:
    import onnx  # takes long, and only a soak needs it

    # Renamed into place, so that the server never sees half a model.
    unfinished = repository / f".{version}"
    unfinished.mkdir(parents=True)
    graph = onnx.load(model)
    (metadata,) = (entry for entry in graph.metadata_props if entry.key == METADATA_KEY)
    metadata.value = json.dumps(json.loads(metadata.value) | {"version": version})
    onnx.save(graph, unfinished / model.name)
    target = repository / model.parents[1].name / version
    target.parent.mkdir(exist_ok=True)
    unfinished.rename(target)


def _corpus(folder: Path, plan: SoakPlan, target: str) -> Corpus:
    contents: list[bytes] = []
    weights: list[float] = []
    for kind, whole in generated_media().items():
        broken = [damaged(content, seed) for seed, content in enumerate(whole)] if plan.abusive else []
        share = plan.broken_share if plan.abusive else 0.0
        contents += [*whole, *broken]
        weights += [SHARES[kind] * (1 - share) / len(whole)] * len(whole)
        weights += [SHARES[kind] * share / max(1, len(broken))] * len(broken)
    files = []
    for number, content in enumerate(contents):
        file = folder / f"medium-{number}"
        file.write_bytes(content)
        files.append(str(file))
    with Detector(target, timeout=60) as detector:
        expected = [_alone(detector, content) for content in contents]
    return Corpus(files, weights, expected)


def damaged(content: bytes, seed: int) -> bytes:
    """A file cut short, with bytes overwritten, or with another one's head; always the same for a seed."""
    chance = random.Random(seed)  # noqa: S311
    match seed % 3:
        case 0:
            return content[: len(content) // chance.randint(2, 50)]
        case 1:
            spoiled = bytearray(content)
            for _ in range(max(1, len(content) // 200)):
                spoiled[chance.randrange(len(content))] = chance.randrange(256)
            return bytes(spoiled)
        case _:
            return chance.choice([b"RIFF", b"\x89PNG\r\n\x1a\n", b"#EXTM3U\n", b"%PDF-1.7\n"]) + content[64:]


def _alone(detector: Detector, content: bytes) -> tuple[str, float | None]:
    try:
        return OK, detector.detect(content).fake_probability
    except DetectionError as error:
        return error.code, None


def _capacity(plan: SoakPlan, corpus: Corpus, server: ServerProcess, folder: Path) -> float:
    file = folder / "capacity.jsonl"
    job = _job(plan, corpus, server, file, 0, WARM_UP_SECONDS)
    process = _start(CallersJob(**{**asdict(job), "rate": 0.0, "cancel_share": 0.0}), folder)
    _finish(process, WARM_UP_SECONDS + plan.deadline)
    answered = len(_read(file))
    file.unlink()
    return answered / WARM_UP_SECONDS


def _under_load(
    plan: SoakPlan,
    corpus: Corpus,
    server: ServerProcess,
    folder: Path,
    soaked: Soaked,
    report: Callable[[str], None],
) -> None:
    start = time.monotonic()
    end = start + plan.seconds
    seeds = count(1)
    chance = random.Random(0)  # noqa: S311
    arrivals = plan.load * soaked.capacity / PROCESSES

    def callers() -> "subprocess.Popen[bytes]":
        seed = next(seeds)
        outcomes = folder / f"outcomes-{seed}.jsonl"
        job = _job(plan, corpus, server, outcomes, seed, end - time.monotonic())
        return _start(CallersJob(**{**asdict(job), "rate": arrivals}), folder)

    with _all_ended([callers() for _ in range(PROCESSES if plan.abusive else 1)]) as processes:
        next_kill, replaced = start + KILL_EVERY_SECONDS, not plan.abusive
        while (now := time.monotonic()) < end:
            report(f"{end - now:.0f} s of load to go")
            soaked.memory.append(server.memory_bytes())
            if plan.abusive and now > next_kill:
                victim = chance.randrange(PROCESSES)
                processes[victim].kill()
                processes[victim].wait()
                processes[victim] = callers()
                soaked.killed += 1
                next_kill += KILL_EVERY_SECONDS
            if not replaced and now > start + REPLACE_AFTER * plan.seconds:
                _publish(plan.model, folder / "models", "2")
                replaced = True
            time.sleep(1)
        report("waiting for the last answers")
        for process in processes:
            _finish(process, plan.deadline)


def _job(
    plan: SoakPlan, corpus: Corpus, server: ServerProcess, outcomes: Path, seed: int, seconds: float
) -> CallersJob:
    return CallersJob(
        target=server.address,
        media=corpus.files,
        weights=corpus.weights,
        rate=0.0,
        callers=plan.clients,
        seconds=seconds,
        deadline=plan.deadline,
        cancel_share=plan.cancel_share if plan.abusive else 0.0,
        seed=seed,
        outcomes=str(outcomes),
    )


def _start(job: CallersJob, folder: Path) -> "subprocess.Popen[bytes]":
    file = folder / f"job-{job.seed}.json"
    file.write_text(json.dumps(asdict(job)))
    return subprocess.Popen([sys.executable, "-m", "benchmarks.abuse.soak_callers", str(file)])  # noqa: S603


@contextmanager
def _all_ended(processes: list["subprocess.Popen[bytes]"]) -> Iterator[list["subprocess.Popen[bytes]"]]:
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _finish(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Waits for callers; what they should have sent or noted would be missing if they failed."""
    try:
        status = process.wait(seconds + GRACE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError("callers wait for an answer long after their deadline") from error
    if status:
        raise RuntimeError(f"callers ended with status {status}; their message is above")


def _outcomes(folder: Path) -> list[Outcome]:
    return [outcome for file in sorted(folder.glob("outcomes-*.jsonl")) for outcome in _read(file)]


def _read(file: Path) -> list[Outcome]:
    # The last line of callers that were killed may be cut.
    lines = file.read_text().splitlines(keepends=True)
    return [Outcome(**json.loads(line)) for line in lines if line.endswith("\n")]


def _judge(outcomes: Sequence[Outcome], corpus: Corpus, soaked: Soaked) -> None:
    for outcome in outcomes:
        soaked.outcomes[outcome.code] += 1
        if outcome.code in REFUSED | LATE | {CANCELLED}:
            continue
        soaked.latencies.append(outcome.seconds)
        if outcome.version:
            soaked.versions[outcome.version] += 1
        code, probability = corpus.expected[outcome.medium]
        if outcome.code != code or not _same(outcome.probability, probability):
            soaked.mistakes += 1
            if len(soaked.wrong) < 10:
                soaked.wrong.append(f"medium {outcome.medium}: {outcome}, alone {code} {probability}")


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= TOLERANCE


def figures(soaked: Soaked) -> list[tuple[str, str]]:
    """The table: what was measured, and how much."""
    lines = [
        ("requests", str(sum(soaked.outcomes.values()))),
        *((f"  {code}", str(number)) for code, number in soaked.outcomes.most_common()),
        ("wrong outcomes", str(soaked.mistakes)),
        ("p50 / p99 of answers", _seconds(soaked.latencies)),
        ("accepted and late", f"{soaked.late_share:.2%}"),
        ("memory, median", f"{median(soaked.memory) / 2**20:.0f} MiB"),
        ("memory, end against start", f"{soaked.memory_growth:+.1%}"),
        ("answers by model version", ", ".join(f"{k}: {v}" for k, v in sorted(soaked.versions.items()))),
    ]
    if soaked.capacity:
        lines[:0] = [("capacity, closed loop", f"{soaked.capacity:.1f} answers/s")]
        lines.append(("callers' processes killed", str(soaked.killed)))
    return lines


def _seconds(latencies: Sequence[float]) -> str:
    if not latencies:
        return "none"
    return f"{percentile(latencies, 50):.2f} / {percentile(latencies, 99):.2f} s"
