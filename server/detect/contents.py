"""What a request's media are made of: the bytes that its URIs name, and the hash of each."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from blake3 import blake3

from server.detect.media_bytes import Holding
from server.detect.request import Medium, Request, Stage, Stopwatch
from server.errors import DetectorError
from server.media.types import MediaKind
from server.sources.fetched import SourceFacts
from server.sources.source import Sources

Hashes = tuple[tuple[bytes, MediaKind | None], ...]
"""BLAKE3 digest and stated kind of each medium of a request."""

# Hashing this much takes 0.25 ms, less than gRPC needs to receive it. A thread for it would cost 0.1 ms.
_AT_ONCE_BYTES = 2**20

_Each = TypeVar("_Each")
_Result = TypeVar("_Result")


def first_stage(request: Request) -> Stage:
    """Where the medium begins that has most to go through."""
    if any(isinstance(medium.source, str) for medium in request.media):
        return Stage.FETCH
    encoded = any(isinstance(medium.source, bytes) for medium in request.media)
    return Stage.DECODE if encoded else Stage.ENGINE


async def fetched(
    request: Request, sources: Sources, held: Holding, timing: Stopwatch
) -> tuple[Request, tuple[SourceFacts | None, ...]]:
    """The request with bytes in the place of URIs, and what their stores say of them.

    Raises:
        SourceError, MediaLimitExceeded, Overloaded, DeadlineExceeded, InvalidRequest: see `Sources.read`.
    """
    if first_stage(request) != Stage.FETCH:
        return request, (None,) * len(request.media)

    async def fetch(medium: Medium) -> tuple[Medium, SourceFacts | None]:
        if not isinstance(medium.source, str):
            return medium, None
        start = time.perf_counter()
        content = await sources.read(medium.source, request.urgency, held.add)
        timing.lap("fetch", start, time.perf_counter(), bytes=len(content.content))
        return replace(medium, source=content.content), content.facts

    media, facts = zip(*await of_each(request.media, fetch), strict=True)
    return replace(request, media=media), facts


def only_files(request: Request) -> bool:
    """Whether all media are encoded, and here."""
    return all(isinstance(medium.source, bytes) for medium in request.media)


def hashes_at_once(request: Request) -> Hashes | None:
    """None if a medium is decoded already or has to be fetched first, or if there is much to hash."""
    return _hashes(request) if only_files(request) and request.size <= _AT_ONCE_BYTES else None


async def hashes(request: Request) -> Hashes:
    """Of a request that was fetched; the digest of what came decoded is empty."""
    if request.size > _AT_ONCE_BYTES:
        return await asyncio.to_thread(_hashes, request)
    return _hashes(request)


def _hashes(request: Request) -> Hashes:
    # Cryptographic, so that nobody can make a fake with the hash of a photo that was judged before, and three
    # to four times as fast as SHA-256.
    return tuple(
        (blake3(medium.source).digest() if isinstance(medium.source, bytes) else b"", medium.kind)
        for medium in request.media
    )


def sampling_key(secret: str) -> bytes:
    """Of 32 bytes, for `phase`."""
    return blake3(secret.encode(), derive_key_context="deepfake detector: sampling").digest()


def phase(digest: bytes, key: bytes) -> float:
    """Where to look in a medium with this hash, in [0, 1): unknown to whoever lacks the key."""
    return int.from_bytes(blake3(digest, key=key).digest(6), "big") / 2**48


async def of_each(media: tuple[_Each, ...], work: Callable[[_Each], Awaitable[_Result]]) -> list[_Result]:
    """What `work` gives for each medium, all at the same time; an error says which one it is about."""

    async def numbered(number: int) -> _Result:
        try:
            return await work(media[number])
        except DetectorError as error:
            error.medium = number
            raise

    if len(media) == 1:
        return [await numbered(0)]
    tasks = [asyncio.create_task(numbered(number)) for number in range(len(media))]
    try:
        return await asyncio.gather(*tasks)
    finally:
        # An error refers to this frame, and a task to its error: a circle, which would keep the media alive.
        while tasks:
            tasks.pop().cancel()
