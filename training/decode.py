"""Many files → raw rows, in processes that survive a crash in a codec, as in the server."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from server.errors import MediaError
from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.types import MediaKind, MediaRows, RowSpec
from training.ahead import begun_ahead
from training.sample import Region, Sample

DECODERS = 3
"""What is kept of files holds for this number: raise it when decoders refuse other files, or give other
rows, by the same `spec_hash`."""

_AHEAD_PER_WORKER = 4

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that gave no rows, why, and whether that may pass by itself."""

    path: str
    reason: str
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows of a file and the SHA-256 of its bytes."""

    rows: MediaRows
    content_hash: str


@dataclass(frozen=True, slots=True)
class FileRows:
    """The rows of a file for one model.

    Attributes:
        values: [N, ...] as the model takes them.
        labels: [N].
        content_hash: what the rows follow from: SHA-256 of the file's bytes, and more if they were forged.
        cells: [N, …] of `training.masks`, if the file has a mask.
    """

    sample: Sample
    values: NDArray[Any]
    labels: list[int]
    content_hash: str
    cells: NDArray[np.uint8] | None = None


def decode_files(
    folder: Path, samples: Sequence[Sample], spec: RowSpec, workers: int, title: str
) -> Iterator[tuple[Sample, Decoded | Rejected]]:
    """Every sample, in order, with what came of it; shows a progress bar with this title."""
    limits = MediaLimits()

    def read() -> Iterator[tuple[tuple[Sample, str], bytes | OSError, MediaKind | None]]:
        for sample in track(samples, title, transient=True):
            content = read_bytes(folder / sample.path)
            content_hash = "" if isinstance(content, OSError) else hashlib.sha256(content).hexdigest()
            yield (sample, content_hash), content, stated_kind(sample.modality)

    with closing(DecodePool(workers, limits)) as pool:
        for (sample, content_hash), rows in decode_each(pool, read(), spec, _AHEAD_PER_WORKER * workers):
            if isinstance(rows, MediaRows):
                yield sample, Decoded(rows, content_hash)
            else:
                yield sample, Rejected(sample.path, failure(rows), passing=isinstance(rows, OSError))


def decode_each(
    pool: DecodePool,
    media: Iterable[tuple[Key, bytes | OSError, MediaKind | None]],
    spec: RowSpec,
    ahead: int,
) -> Iterator[tuple[Key, MediaRows | MediaError | OSError]]:
    """Decodes each, in order, while `ahead` more are worked on.

    Args:
        media: a key to know it by, its bytes or why there are none, and what it is said to be, if anything.
    """
    begun = ((key, _submit(pool, content, spec, kind)) for key, content, kind in media)
    for key, future in begun_ahead(begun, ahead):
        try:
            yield key, future.result()
        except (MediaError, OSError) as error:
            yield key, error


def stated_kind(modality: str) -> MediaKind | None:
    """What a file of this modality is said to be; nothing of sound, as a video may be listed for its own."""
    return None if modality == "audio" else MediaKind(modality)


def model_rows(media: MediaRows, modality: str) -> NDArray[Any]:
    """What the model of a modality takes of a medium: [N, ...], N may be 0."""
    match modality:
        case "image":
            return media.frames[media.image_index]
        case "video":
            return media.frames[media.clip_index]
        case _:
            return media.audio


def image_regions(media: MediaRows) -> list[Region]:
    """The part of the picture that each image row shows."""
    return [(left, top, right, bottom) for left, top, right, bottom in media.image_regions.tolist()]


def read_bytes(path: Path) -> bytes | OSError:
    """The file's content, or why it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        return error


def failure(error: MediaError | OSError) -> str:
    """Why a file gave no rows, for people."""
    if isinstance(error, MediaError):
        return f"{error.code}: {error.message}"
    return f"cannot be read: {error.strerror}"


def _submit(
    pool: DecodePool, content: bytes | OSError, spec: RowSpec, kind: MediaKind | None
) -> Future[MediaRows]:
    if isinstance(content, bytes):
        return pool.submit(content, spec, kind)
    failed: Future[MediaRows] = Future()
    failed.set_exception(content)
    return failed
