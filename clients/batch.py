"""Many media: finding them, and keeping many requests in flight."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Unpack

from clients.aio import AsyncDetector
from clients.errors import DetectionError, kept
from clients.requests import Answer, Options, is_uri
from clients.s3 import S3, SCHEME
from deepfake.v1 import detector_pb2 as pb

log = logging.getLogger(__name__)

# The server goes by the bytes; this only keeps notes and spreadsheets in a folder from being sent.
PICTURES = {
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp"),
    *(".tif", ".tiff", ".gif", ".avif", ".heic", ".heif"),
}
VIDEOS = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".3gp", ".3g2", ".wmv", ".flv", ".ogv"),
}
SOUNDS = {
    *(".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma"),
    *(".aif", ".aiff", ".au", ".caf", ".mka"),
}
MEDIA_SUFFIXES = PICTURES | VIDEOS | SOUNDS

# Where the bucket must not be listed, S3 says the latter of objects that do not exist.
NOT_THERE = {"SOURCE_NOT_FOUND", "SOURCE_DENIED"}
A_FOLDER = "For all that is below a prefix, end it with a slash."


def find_media(names: Iterable[str], s3: S3) -> list[str]:
    """Files and URIs as they are; of a folder, s3://bucket or s3://bucket/prefix/ every medium below it.

    Each once. Keys without a suffix count as media, and so do folders that cannot be listed, whose turn will
    fail.

    Raises:
        DetectionError: a prefix cannot be listed.
    """
    return list(dict.fromkeys(medium for name in names for medium in _found(name, s3)))


def _found(name: str, s3: S3) -> Iterable[str]:
    if name.startswith(SCHEME) and (name.endswith("/") or "/" not in name.removeprefix(SCHEME)):
        return (uri for uri in s3.find(name) if _may_be_a_medium(uri))
    if is_uri(name) or not os.path.isdir(name):  # noqa: PTH112  Path's raises where it cannot look
        return [name]
    return map(str, sorted(_below(name)))


def _below(folder: str) -> Iterator[Path]:
    """Media, and what cannot be looked at: to be reported as media that fail, not left out."""
    closed: list[Path] = []
    for where, folders, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        for linked in filter(os.path.islink, (str(Path(where, name)) for name in folders)):
            # It may lead anywhere, back to where it is as well.
            log.warning("%r is a link to a folder and is not followed: name it too, if you want it", linked)
        paths = (Path(where, name) for name in names)
        yield from (path for path in paths if path.suffix.lower() in MEDIA_SUFFIXES and _may_be_a_file(path))
    yield from closed


def _may_be_a_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return True


def _may_be_a_medium(uri: str) -> bool:
    return PurePosixPath(uri).suffix.lower() in MEDIA_SUFFIXES | {""}


async def detect_each(
    detector: AsyncDetector,
    names: Iterable[str],
    *,
    concurrency: int,
    read: Callable[[str], pb.Medium] | None = None,
    **options: Unpack[Options],
) -> AsyncIterator[tuple[str, Answer]]:
    """Judges every file or URI by a call of its own, `concurrency` at once; first ready first.

    Args:
        read: reads s3:// here, in a thread; without it the server is to read them.
    """

    async def attempt(name: str) -> tuple[str, Answer]:
        try:
            source = await asyncio.to_thread(read, name) if read and name.startswith(SCHEME) else name
            return name, await detector.detect(source, **options)
        except DetectionError as error:
            if name.startswith(SCHEME) and error.code in NOT_THERE:
                error.hint = f"{error.hint} {A_FOLDER}".lstrip()
            return name, kept(error)

    running: set[asyncio.Task[tuple[str, Answer]]] = set()
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
