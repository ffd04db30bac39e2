"""Our decoders beside other libraries, on the same media, by turns, with their answers compared."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.decode import photo_decoders, video_decoders
from benchmarks.decode.decoder import RGB, Decode, Decoder
from benchmarks.decode.videos import Video
from benchmarks.material.media import PHOTO_SIZES, photo, photo_jpeg
from benchmarks.processes import own_cpu_seconds
from benchmarks.report.turns import Report, about, by_turns

PILLOW_OPTIONS = {"png": {"compress_level": 6}, "webp": {"quality": 85}}
VIDEOS = [
    Video(1280, 720, 10, 30),
    Video(1280, 720, 10, 250),
    Video(1920, 1080, 20, 30),
]
# Of 255, the mean over all pixels: other filters and chroma, but no other picture.
MAX_DIFFERENCE = 6.0


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


def comparisons(chosen: Sequence[str], folder: Path, plan: Plan, report: Report) -> Iterator[Comparison]:
    """Of each encoding, and of all videos for "video"; those are kept in `folder`."""
    for encoding in chosen:
        if encoding == "video":
            for video in VIDEOS:
                yield compare_videos(video, folder, plan, report)
        else:
            yield compare_photos(encoding, plan, report)


def compare_photos(encoding: str, plan: Plan, report: Report) -> Comparison:
    """Photos of 1.2 to 1.6 megapixels to 256 × 256; encoding is "jpeg", "png" or "webp"."""
    report(f"making photos as {encoding}")
    media = [_photo(encoding, number) for number in range(plan.photos)]
    decoders, missing = photo_decoders.photo_decoders(encoding == "jpeg")
    expected = [photo_decoders.reference(data) for data in media]
    title = f"{encoding.upper()}, {plan.photos} photos of 1.2 to 1.6 MP → 256 × 256"
    measured = _measure(decoders, media, expected, plan, about(title, report))
    return Comparison(title, measured, missing)


def compare_videos(video: Video, folder: Path, plan: Plan, report: Report) -> Comparison:
    """Five frames of 256 × 256; the file is kept in `folder`."""
    report(f"making {video}")
    path = video.file(folder)
    decoders, missing = video_decoders.video_decoders(video)
    title = f"h264 {video}: five frames → 256 × 256"
    expected = [video_decoders.reference(path, video)]
    measured = _measure(decoders, [path], expected, plan, about(title, report))
    return Comparison(title, measured, missing)


def _photo(encoding: str, number: int) -> bytes:
    size = PHOTO_SIZES[number % len(PHOTO_SIZES)]
    if encoding == "jpeg":
        return photo_jpeg(*size, number)
    return photo_decoders.encoded(photo(*size, number), encoding, **PILLOW_OPTIONS[encoding])


def _measure(
    decoders: Sequence[Decoder],
    media: Sequence[Any],
    expected: Sequence[RGB],
    plan: Plan,
    report: Report,
) -> list[Measured]:
    measured = [Measured(decoder.name, decoder.reduced) for decoder in decoders]
    with ExitStack() as stack:
        alone = [stack.enter_context(decoder.opened(1)) for decoder in decoders]
        together = [stack.enter_context(decoder.opened(plan.workers)) for decoder in decoders]
        for one, decode in zip(measured, alone, strict=True):
            report(f"checking {one.decoder}")
            one.difference = _difference([decode(medium) for medium in media], expected)
        for _, tell in by_turns(plan.rounds, report):
            for one, single, several in zip(measured, alone, together, strict=True):
                tell(one.decoder)
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
        before, start = own_cpu_seconds(), time.perf_counter()
        for _ in threads.map(decode, media):
            pass
        wall = time.perf_counter() - start
    return wall / len(media), (own_cpu_seconds() - before) / len(media)


def _difference(found: Sequence[RGB], expected: Sequence[RGB]) -> float:
    pairs = zip(found, expected, strict=True)
    return float(np.mean([np.abs(ours.astype(int) - theirs).mean() for ours, theirs in pairs]))
