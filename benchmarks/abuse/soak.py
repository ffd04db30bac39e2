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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path

from benchmarks.abuse.outcome import Outcome
from benchmarks.abuse.soak_callers import CallersJob
from benchmarks.abuse.soak_corpus import Corpus, make_corpus
from benchmarks.abuse.soak_plan import SoakPlan
from benchmarks.abuse.soaked import Soaked
from benchmarks.report.turns import Report
from benchmarks.serving import NO_CACHE, ServerProcess, serving
from server.engine.manifest import METADATA_KEY

_GRACE_SECONDS = 30.0
# Of the requests of an abusive load; and processes of its callers.
_BROKEN_SHARE, _CANCEL_SHARE = 0.2, 0.05
_PROCESSES = 3
_FLAGS = (*NO_CACHE, "--model-poll-seconds", "1")

Process = subprocess.Popen[bytes]


def soak(plan: SoakPlan, report: Report) -> Soaked:
    """Runs the whole plan; `report` is told what is going on.

    Raises:
        RuntimeError: the server does not start, or dies; callers that nobody killed die; nothing is answered.
    """
    soaked = Soaked(plan)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _publish(plan.model, folder / "models", "1")
        report("starting the server")
        with serving("--models", str(folder / "models"), *_FLAGS) as server:
            report("judging each medium alone")
            corpus = make_corpus(folder, _BROKEN_SHARE if plan.abusive else 0.0, server.address)
            load = _Load(plan, corpus, server, folder)
            if plan.abusive:
                report("measuring the capacity")
                soaked.capacity = load.capacity()
            load.run(soaked, report)
            soaked.judge(load.outcomes(), corpus)
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


class _Load:
    """The callers of one soak."""

    def __init__(self, plan: SoakPlan, corpus: Corpus, server: ServerProcess, folder: Path) -> None:
        self._plan, self._corpus, self._server, self._folder = plan, corpus, server, folder
        self._seeds = count(1)
        self._chance = random.Random(0)

    def capacity(self) -> float:
        """Answers a second in a closed loop."""
        seconds = self._plan.warm_up
        file = self._folder / "capacity.jsonl"
        _finish(self._start(0, file, seconds), seconds + self._plan.deadline)
        answered = sum(outcome.answered for outcome in _read(file))
        file.unlink()
        if not answered:
            raise RuntimeError("nothing was answered in time, so there is no capacity to load beyond")
        return answered / seconds

    def run(self, soaked: Soaked, report: Report) -> None:
        """The load, with everything that happens meanwhile."""
        plan = self._plan
        start = time.monotonic()
        end = start + plan.seconds
        rate = plan.load * soaked.capacity / _PROCESSES
        next_kill, replaced = start + plan.kill_every, not plan.abusive
        with self._callers(rate, end) as processes:
            while (now := time.monotonic()) < end:
                report(f"{end - now:.0f} s of load to go")
                soaked.memory.append(self._server.memory_bytes())
                if plan.abusive and now > next_kill:
                    self._kill_one(processes, rate, end)
                    soaked.killed += 1
                    next_kill += plan.kill_every
                if not replaced and now > start + plan.replace_after * plan.seconds:
                    _publish(plan.model, self._folder / "models", "2")
                    replaced = True
                time.sleep(1)
            report("waiting for the last answers")
            for process in processes:
                _finish(process, plan.deadline)

    def outcomes(self) -> list[Outcome]:
        """Of all requests of `run`."""
        files = sorted(self._folder.glob("outcomes-*.jsonl"))
        return [outcome for file in files for outcome in _read(file)]

    @contextmanager
    def _callers(self, rate: float, end: float) -> Iterator[list[Process]]:
        """All ended with the context, at the latest."""
        number = _PROCESSES if self._plan.abusive else 1
        processes = [self._start_another(rate, end) for _ in range(number)]
        try:
            yield processes
        finally:
            for process in processes:
                process.kill()
                process.wait()

    def _kill_one(self, processes: list[Process], rate: float, end: float) -> None:
        """Others take its place."""
        victim = self._chance.randrange(len(processes))
        processes[victim].kill()
        processes[victim].wait()
        processes[victim] = self._start_another(rate, end)

    def _start_another(self, rate: float, end: float) -> Process:
        seed = next(self._seeds)
        cancel_share = _CANCEL_SHARE if self._plan.abusive else 0.0
        outcomes = self._folder / f"outcomes-{seed}.jsonl"
        return self._start(seed, outcomes, end - time.monotonic(), rate, cancel_share)

    def _start(
        self, seed: int, outcomes: Path, seconds: float, rate: float = 0.0, cancel_share: float = 0.0
    ) -> Process:
        job = CallersJob(
            target=self._server.address,
            media=self._corpus.files,
            weights=self._corpus.weights,
            rate=rate,
            callers=self._plan.clients,
            seconds=seconds,
            deadline=self._plan.deadline,
            cancel_share=cancel_share,
            seed=seed,
            outcomes=str(outcomes),
        )
        file = self._folder / f"job-{seed}.json"
        file.write_text(json.dumps(asdict(job)))
        return Process([sys.executable, "-m", "benchmarks.abuse.soak_callers", str(file)])


def _finish(process: Process, seconds: float) -> None:
    """Waits for callers; what they should have sent or noted would be missing if they failed."""
    try:
        status = process.wait(seconds + _GRACE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError("callers wait for an answer long after their deadline") from error
    finally:
        process.kill()  # unless they ended
    if status:
        raise RuntimeError(f"callers ended with status {status}; their message is above")


def _read(file: Path) -> list[Outcome]:
    # The last line of callers that were killed may be cut.
    lines = file.read_text().splitlines(keepends=True)
    return [Outcome(**json.loads(line)) for line in lines if line.endswith("\n")]
