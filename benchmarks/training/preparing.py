"""How much of the decoders' speed is left when `python -m training prepare` is around them.

Measured in one run on the same files, by turns: the isolated decoders alone, fed from memory; a whole
prepare, from listing the files to the CSVs and the page; and a second one, which finds everything
in the journal.
"""

import tempfile
import time
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from rich.console import Console

from benchmarks.material.media import generated_media
from benchmarks.report.tables import Table, rate_rows
from benchmarks.report.turns import Report, by_turns
from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.types import MediaKind, MediaRows
from training.prepare.inspection import SPEC
from training.prepare.run import prepare
from training.prepare.settings import PrepareSettings

DIFFERENT_PHOTOS = 16
SUFFIXES = {"image": ".jpg", "video": ".mp4", "audio": ".sound"}
FOLDERS = {"image": "images", "video": "videos", "audio": "audio"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How many files, how often, with how many decoding processes."""

    files: int
    rounds: int
    workers: int


@dataclass(slots=True)
class Measured:
    """Files a second, one number a round.

    Attributes:
        decoders, prepared, known: see above.
        left_out: files that prepare rejected.
    """

    decoders: list[float] = field(default_factory=list)
    prepared: list[float] = field(default_factory=list)
    known: list[float] = field(default_factory=list)
    left_out: int = 0


def measure(plan: Plan, report: Report) -> Measured:
    """Runs the whole plan; `report` is told what is being measured."""
    measured = Measured()
    with tempfile.TemporaryDirectory() as folder:
        report("making the files")
        root = Path(folder) / "raw"
        files = _write_files(plan.files, root)
        for number, tell in by_turns(plan.rounds, report):
            tell("decoders alone")
            measured.decoders.append(_decode(files, plan.workers))
            settings = PrepareSettings(
                inputs=(root,), output=Path(folder) / f"data{number}", workers=plan.workers
            )
            for what, rates in (("prepare", measured.prepared), ("prepare again", measured.known)):
                tell(what)
                start = time.perf_counter()
                summary = prepare(settings, Console(quiet=True))
                rates.append(len(files) / (time.perf_counter() - start))
                measured.left_out += sum(summary.rejected.values())
    return measured


def _write_files(count: int, root: Path) -> list[tuple[bytes, MediaKind]]:
    """Files of a plain folder, no two alike in all bytes, and real and fake by turns."""
    media = generated_media(DIFFERENT_PHOTOS)
    kinds = cycle(("image", "video", "image", "audio"))
    files = []
    for number, kind in enumerate(islice(kinds, count)):
        # Bytes after its end make a file another one at no cost, and decoders ignore them.
        data = media[kind][number % len(media[kind])] + number.to_bytes(8)
        label = ("real", "fake")[number // 4 % 2]
        path = root / label / FOLDERS[kind] / f"{number:06d}{SUFFIXES[kind]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        files.append((data, MediaKind(kind)))
    return files


def _decode(files: list[tuple[bytes, MediaKind]], workers: int) -> float:
    with closing(DecodePool(workers, MediaLimits())) as pool:

        def decode(file: tuple[bytes, MediaKind]) -> Future[MediaRows]:
            data, kind = file
            return pool.submit(data, SPEC, kind)

        wait([decode(files[number % len(files)]) for number in range(workers)])
        start = time.perf_counter()
        wait([decode(file) for file in files])
        return len(files) / (time.perf_counter() - start)


def table(plan: Plan, measured: Measured) -> Table:
    rates = {
        "decoders alone, from memory": measured.decoders,
        "prepare, from nothing": measured.prepared,
        "prepare again, all known": measured.known,
    }
    title = f"{plan.files} files, {plan.workers} decoding processes, median of {plan.rounds} rounds"
    return Table(("", "files/s", "÷ decoders"), rate_rows(rates, measured.decoders), title)
