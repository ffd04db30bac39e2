"""Mutated files of every format through a real server: no crash, no hang, nothing left behind."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import median

from benchmarks.abuse.mutations import mutations
from benchmarks.abuse.outcome import OK
from benchmarks.abuse.seeds import seeds
from benchmarks.report.figures import growth
from benchmarks.report.tables import Table
from benchmarks.report.turns import Report
from benchmarks.serving import NO_CACHE, ServerProcess, serving
from clients import AsyncDetector, DetectionError
from server.engine.repository import BUNDLED

EXPECTED = {OK, "CORRUPT_MEDIA", "UNSUPPORTED_MEDIA", "MEDIA_LIMIT_EXCEEDED"}
# Also right, but each is worth a look at the file.
REMARKABLE = {"DECODE_TIMEOUT", "DECODER_CRASHED"}
DECODE_SECONDS = 10.0
# For waiting behind the other requests that are in flight.
QUEUE_SECONDS = 50.0
IN_FLIGHT = 16
REPORT_EVERY = 250
# Fewer say nothing about growth.
MEMORY_SAMPLES = 20


@dataclass(slots=True)
class Fuzzed:
    """What came of it.

    Attributes:
        codes: how many files by code of the answer.
        remarkable: format and number of the files whose code is in REMARKABLE.
        problems: what must not be.
        slowest: seconds of the slowest answer.
        memory: bytes of the server and its decoders, now and then.
    """

    codes: Counter[str] = field(default_factory=Counter)
    remarkable: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    slowest: float = 0.0
    memory: list[int] = field(default_factory=list)

    @property
    def memory_growth(self) -> float:
        """Without the first fifth, in which decoders and caches warm up."""
        return growth(self.memory[len(self.memory) // 5 :])

    def note(self, name: str, code: str, seconds: float) -> None:
        """What a mutant was answered with, and after how long."""
        self.codes[code] += 1
        self.slowest = max(self.slowest, seconds)
        if code in REMARKABLE:
            self.remarkable.append(f"{code} {name}")
        elif code not in EXPECTED:
            self.problems.append(f"{code} {name}")


def fuzz(files: int, seed: int, report: Report) -> Fuzzed:
    """Sends `files` mutated files, and each whole one before and after them.

    Raises:
        RuntimeError: the server does not start, or dies.
    """
    report("starting the server")
    flags = (*NO_CACHE, "--decode-timeout-seconds", str(DECODE_SECONDS))
    with serving("--models", str(BUNDLED), *flags) as server:
        return asyncio.run(_fuzz(server, files, seed, report))


async def _fuzz(server: ServerProcess, files: int, seed: int, report: Report) -> Fuzzed:
    fuzzed = Fuzzed()
    whole = seeds()
    timeout = DECODE_SECONDS + QUEUE_SECONDS
    async with AsyncDetector(server.address, timeout=timeout, retries=0) as detector:
        before = {name: await _judged(detector, content) for name, content in whole.items()}
        mutants = iter(mutations(whole, files, seed))
        done = 0

        async def caller() -> None:
            nonlocal done
            for name, content in mutants:
                start = time.monotonic()
                code, _ = await _judged(detector, content)
                fuzzed.note(name, code, time.monotonic() - start)
                done += 1
                if done % REPORT_EVERY == 0:
                    fuzzed.memory.append(server.memory_bytes())
                    report(f"{done} of {files} files")

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        fuzzed.memory.append(server.memory_bytes())
        for name, content in whole.items():
            after = await _judged(detector, content)
            if after != before[name] or after[0] != OK:
                fuzzed.problems.append(f"{name}: whole file was {before[name]}, is {after} afterwards")
    if len(fuzzed.memory) >= MEMORY_SAMPLES and fuzzed.memory_growth > 0.10:
        fuzzed.problems.append(f"memory grew by {fuzzed.memory_growth:.1%}")
    return fuzzed


async def _judged(detector: AsyncDetector, content: bytes) -> tuple[str, float | None]:
    try:
        return OK, (await detector.detect(content)).fake_probability
    except DetectionError as error:
        return error.code, None


def table(fuzzed: Fuzzed) -> Table:
    rows = [
        *((f"  {code}", str(number)) for code, number in fuzzed.codes.most_common()),
        ("slowest answer", f"{fuzzed.slowest:.2f} s"),
        ("memory, median", f"{median(fuzzed.memory) / 2**20:.0f} MiB"),
        ("memory, end against start", f"{fuzzed.memory_growth:+.1%}"),
    ]
    return Table(("", f"{fuzzed.codes.total()} files"), rows)
