"""Mutated files of every format through a real server: no crash, no hang, nothing left behind."""

import asyncio
import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.abuse.seeds import seeds
from benchmarks.report.figures import growth
from benchmarks.serving import ServerProcess, serving
from clients import AsyncDetector, DetectionError

OK = "OK"
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
_LIES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEADER = 512


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


def fuzz(files: int, seed: int, report: Callable[[str], None]) -> Fuzzed:
    """Sends `files` mutated files, and each whole one before and after them.

    Raises:
        RuntimeError: the server does not start, or dies.
    """
    report("starting the server")
    flags = ("--cache-max-entries", "0", "--decode-timeout-seconds", str(DECODE_SECONDS))
    with serving(Path("server/bundled"), *flags) as server:
        return asyncio.run(_fuzz(server, files, seed, report))


async def _fuzz(server: ServerProcess, files: int, seed: int, report: Callable[[str], None]) -> Fuzzed:
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
                _note(fuzzed, name, code, time.monotonic() - start)
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


def _note(fuzzed: Fuzzed, name: str, code: str, seconds: float) -> None:
    fuzzed.codes[code] += 1
    fuzzed.slowest = max(fuzzed.slowest, seconds)
    if code in REMARKABLE:
        fuzzed.remarkable.append(f"{code} {name}")
    elif code not in EXPECTED:
        fuzzed.problems.append(f"{code} {name}")


def mutations(whole: dict[str, bytes], files: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`files` mutants with "<format> <number>"; the same for the same seed."""
    names = sorted(whole)
    for number in range(files):
        chance = random.Random(f"{seed} {number}")  # noqa: S311
        name = names[number % len(names)]
        mutant = bytearray(whole[name])
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            mutate = chance.choice((_flip, _lie, _cut, _overwrite, _repeat, _remove, _splice))
            mutate(mutant, chance, whole[chance.choice(names)])
        yield f"{name} {number}", bytes(mutant)


def _flip(content: bytearray, chance: random.Random, other: bytes) -> None:  # noqa: ARG001
    for _ in range(chance.choice((1, 4, 64))):
        if content:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _lie(content: bytearray, chance: random.Random, _: bytes) -> None:
    """Sizes and counts that are not true, where headers hold them."""
    order = chance.choice("<>")
    width = chance.choice("BHI")
    size = struct.calcsize(width)
    start = chance.randrange(max(1, min(_HEADER, len(content)) - size))
    value = chance.choice(_LIES) % 256**size
    content[start : start + size] = struct.pack(order + width, value)


def _cut(content: bytearray, chance: random.Random, _: bytes) -> None:
    del content[chance.randrange(len(content) + 1) :]


def _overwrite(content: bytearray, chance: random.Random, _: bytes) -> None:
    start, length = _part(content, chance)
    content[start : start + length] = chance.randbytes(length)


def _repeat(content: bytearray, chance: random.Random, _: bytes) -> None:
    start, length = _part(content, chance)
    content[start:start] = content[start : start + length] * chance.choice((1, 2, 8))


def _remove(content: bytearray, chance: random.Random, _: bytes) -> None:
    start, length = _part(content, chance)
    del content[start : start + length]


def _splice(content: bytearray, chance: random.Random, other: bytes) -> None:
    """The rest becomes that of a file of another format."""
    position = chance.randrange(len(content) + 1)
    content[position:] = other[chance.randrange(len(other)) :]


def _part(content: bytearray, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(content) + 1)
    return start, min(len(content) - start, chance.choice((1, 4, 64, 1024)))


def figures(fuzzed: Fuzzed) -> list[tuple[str, str]]:
    """The table: what was measured, and how much."""
    return [
        ("files", str(fuzzed.codes.total())),
        *((f"  {code}", str(number)) for code, number in fuzzed.codes.most_common()),
        ("slowest answer", f"{fuzzed.slowest:.2f} s"),
        ("memory, median", f"{median(fuzzed.memory) / 2**20:.0f} MiB"),
        ("memory, end against start", f"{fuzzed.memory_growth:+.1%}"),
    ]
