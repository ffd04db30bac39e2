"""Our decoders beside other libraries, on the same media, by turns, with their answers compared."""

import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.table import Table

from benchmarks.decode import photo_decoders, video_decoders
from benchmarks.decode.photo_decoders import RGB, Decode, Decoder
from benchmarks.decode.videos import Video
from benchmarks.material.media import PHOTO_SIZES, photo, photo_jpeg
from benchmarks.report.figures import Figure, figure

ENCODINGS = {"jpeg": ("JPEG", {}), "png": ("PNG", {"compress_level": 6}), "webp": ("WEBP", {"quality": 85})}
VIDEOS = [
    Video(1280, 720, 10, 30),
    Video(1280, 720, 10, 250),
    Video(1920, 1080, 20, 30),
]
HEADINGS = ("", "ms", "CPU ms", "÷ ours", "media/s", "CPU ms", "difference")
# Of 255, the mean over all pixels: other filters and chroma, but no other picture.
MAX_DIFFERENCE = 6.0
PACKAGES = ("av", "numpy", "pillow")


@dataclass(frozen=True, slots=True)
class Plan:
    """How often each decoder gets each medium; `workers` media at once in the second half."""

    rounds: int
    workers: int
    photos: int


@dataclass(slots=True)
class Measured:
    """Of one decoder, one number a round; times in seconds for one medium.

    Attributes:
        wall, cpu: one medium at a time.
        rate, cpu_together: media a second, and processor time of each, several at a time.
        difference: mean of its pixels from the reference, of 255.
    """

    decoder: str
    reduced: bool
    difference: float = 0.0
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    cpu_together: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Comparison:
    """Decoders on the same media; the first is ours.

    Attributes:
        missing: what is not installed.
    """

    title: str
    measured: list[Measured]
    missing: list[str]

    @property
    def problems(self) -> list[str]:
        return [
            f"{self.title}: {one.decoder} is {one.difference:.1f} from the reference"
            for one in self.measured
            if one.difference > MAX_DIFFERENCE
        ]


def comparisons(
    chosen: Sequence[str], folder: Path, plan: Plan, report: Callable[[str], None]
) -> Iterator[Comparison]:
    """Of each encoding, and of all videos for "video"; those are kept in `folder`."""
    for encoding in chosen:
        if encoding == "video":
            for video in VIDEOS:
                yield compare_videos(video, folder, plan, report)
        else:
            yield compare_photos(encoding, plan, report)


def compare_photos(encoding: str, plan: Plan, report: Callable[[str], None]) -> Comparison:
    """Photos of 1.2 to 1.6 megapixels to 256 × 256; encoding is "jpeg", "png" or "webp"."""
    report(f"making photos as {encoding}")
    media = [_photo(encoding, number) for number in range(plan.photos)]
    decoders, missing = photo_decoders.photo_decoders(encoding == "jpeg")
    expected = [photo_decoders.reference(data) for data in media]
    title = f"{encoding.upper()}, {plan.photos} photos of 1.2 to 1.6 MP → 256 × 256"
    return Comparison(title, _measure(title, decoders, media, expected, plan, report), missing)


def compare_videos(video: Video, folder: Path, plan: Plan, report: Callable[[str], None]) -> Comparison:
    """Five frames of 256 × 256; the file is kept in `folder`."""
    report(f"making {video}")
    path = video.file(folder)
    decoders, missing = video_decoders.video_decoders(video)
    title = f"h264 {video}: five frames → 256 × 256"
    expected = [video_decoders.reference(path, video)]
    return Comparison(title, _measure(title, decoders, [path], expected, plan, report), missing)


def _photo(encoding: str, number: int) -> bytes:
    size = PHOTO_SIZES[number % len(PHOTO_SIZES)]
    if encoding == "jpeg":
        return photo_jpeg(*size, number)
    name, options = ENCODINGS[encoding]
    return photo_decoders.encoded(photo(*size, number), name, **options)


def _measure(
    title: str,
    decoders: Sequence[Decoder],
    media: Sequence[Any],
    expected: Sequence[RGB],
    plan: Plan,
    report: Callable[[str], None],
) -> list[Measured]:
    measured = [Measured(decoder.name, decoder.reduced) for decoder in decoders]
    with ExitStack() as stack:
        alone = [stack.enter_context(decoder.opened(1)) for decoder in decoders]
        together = [stack.enter_context(decoder.opened(plan.workers)) for decoder in decoders]
        for one, decode in zip(measured, alone, strict=True):
            report(f"{title}: checking {one.decoder}")
            one.difference = _difference([decode(medium) for medium in media], expected)
        for number in range(plan.rounds):
            for one, single, several in zip(measured, alone, together, strict=True):
                report(f"{title}: round {number + 1} of {plan.rounds}, {one.decoder}")
                wall, cpu = _timed(single, media, 1)
                one.wall.append(wall)
                one.cpu.append(cpu)
                # Enough for every worker to be busy until the end, but for little at it.
                wall, cpu = _timed(several, [*media] * (2 if len(media) > 1 else plan.workers), plan.workers)
                one.rate.append(1 / wall)
                one.cpu_together.append(cpu)
    return measured


def _timed(decode: Decode, media: Sequence[Any], callers: int) -> tuple[float, float]:
    """Seconds and processor seconds of one medium."""
    with ThreadPoolExecutor(callers) as threads:
        before, start = _cpu_seconds(), time.perf_counter()
        for _ in threads.map(decode, media):
            pass
        wall = time.perf_counter() - start
    return wall / len(media), (_cpu_seconds() - before) / len(media)


def _cpu_seconds() -> float:
    """Of this process, its children, and those that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children())
    return time.process_time() + ended.ru_utime + ended.ru_stime + alive


def _difference(found: Sequence[RGB], expected: Sequence[RGB]) -> float:
    pairs = zip(found, expected, strict=True)
    return float(np.mean([np.abs(ours.astype(int) - theirs).mean() for ours, theirs in pairs]))


def rich_table(comparison: Comparison, plan: Plan) -> Table:
    table = Table(title=comparison.title, caption=_caption(comparison, plan))
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=heading == "", justify="right" if heading else "left")
    for row in _rows(comparison):
        table.add_row(*row)
    return table


def markdown(comparison: Comparison) -> str:
    lines = [list(HEADINGS), ["---"] * len(HEADINGS), *_rows(comparison)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _rows(comparison: Comparison) -> list[list[str]]:
    ours = comparison.measured[0].wall
    return [
        [
            one.decoder + (" (reduced)" if one.reduced else ""),
            str(_milliseconds(one.wall)),
            f"{_milliseconds(one.cpu).median:.1f}",
            # By turns, so that what slowed the machine in one round slowed both.
            f"{figure([wall / own for wall, own in zip(one.wall, ours, strict=True)]).median:.2f}",
            f"{figure(one.rate).median:.1f}",
            f"{_milliseconds(one.cpu_together).median:.1f}",
            f"{one.difference:.2f}",
        ]
        for one in comparison.measured
    ]


def _milliseconds(seconds: Sequence[float]) -> Figure:
    return figure([1000 * value for value in seconds])


def _caption(comparison: Comparison, plan: Plan) -> str:
    missing = f"; not installed: {', '.join(comparison.missing)}" if comparison.missing else ""
    return f"one at a time, then {plan.workers} at a time; median of {plan.rounds} rounds{missing}"


def write_json(folder: Path, plan: Plan, comparisons: Sequence[Comparison]) -> Path:
    """Writes the figures, and what they were measured with, into a new file of `folder`."""
    now = datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"decode-{now:%Y%m%d-%H%M%S}.json"
    content = {
        "created": now.isoformat(),
        "plan": asdict(plan),
        "packages": {name: version(name) for name in PACKAGES},
        "comparisons": [asdict(comparison) for comparison in comparisons],
    }
    file.write_text(json.dumps(content, indent=2) + "\n")
    return file
