"""Many files: finding them, and keeping many requests in flight."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Unpack

from clients.aio import AsyncDetector
from clients.errors import DetectionError
from clients.requests import Options, is_uri
from deepfake.v1 import detector_pb2 as pb

# The server goes by the bytes; this only keeps notes and spreadsheets in a folder from being sent.
PICTURES = {
    ".jpg",
    ".jpeg",
    ".jfif",
    ".png",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".gif",
    ".avif",
    ".heic",
    ".heif",
}
VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".3gp", ".wmv", ".flv"}
SOUNDS = {".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma"}
MEDIA_SUFFIXES = PICTURES | VIDEOS | SOUNDS


def find_media(names: Iterable[str]) -> Iterator[str]:
    """Files and URIs as they are; of a folder every medium below it, in the order of their paths."""
    for name in names:
        if is_uri(name) or not Path(name).is_dir():
            yield name
            continue
        for path in sorted(Path(name).rglob("*")):
            if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file():
                yield str(path)


async def detect_each(
    detector: AsyncDetector, names: Iterable[str], *, concurrency: int, **options: Unpack[Options]
) -> AsyncIterator[tuple[str, pb.DetectResponse | DetectionError]]:
    """Judges every file or URI by a call of its own, `concurrency` at once; first ready first."""

    async def attempt(name: str) -> tuple[str, pb.DetectResponse | DetectionError]:
        try:
            return name, await detector.detect(name, **options)
        except DetectionError as error:
            return name, error

    running: set[asyncio.Task[tuple[str, pb.DetectResponse | DetectionError]]] = set()
    try:
        for name in names:
            running.add(asyncio.create_task(attempt(name)))
            if len(running) >= concurrency:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        for next_done in asyncio.as_completed(running):
            yield await next_done
    finally:
        for task in running:
            task.cancel()
