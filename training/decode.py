"""Many files → raw rows, in processes that survive a crash in a codec, as in the server."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from server.errors import MediaError
from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.types import MediaKind, MediaRows, RowSpec
from training.sample import Sample

_AHEAD_PER_WORKER = 4


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that gave no rows, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows of a file and the SHA-256 of its bytes."""

    rows: MediaRows
    content_hash: str


def decode_files(
    folder: Path, samples: Sequence[Sample], spec: RowSpec, workers: int, title: str
) -> Iterator[tuple[Sample, Decoded | Rejected]]:
    """Every sample, in order, with what came of it; shows a progress bar with this title."""
    # A few files ahead of the slowest keep all workers busy without holding the corpus in memory.
    ahead: deque[tuple[Sample, str, Future[MediaRows]]] = deque()
    limits = MediaLimits()
    with closing(DecodePool(workers, limits)) as pool:
        for sample in track(samples, title, transient=True):
            future, content_hash = _submit(pool, folder, sample, spec, limits)
            ahead.append((sample, content_hash, future))
            if len(ahead) > _AHEAD_PER_WORKER * workers:
                yield _result(*ahead.popleft())
        while ahead:
            yield _result(*ahead.popleft())


def _submit(
    pool: DecodePool, folder: Path, sample: Sample, spec: RowSpec, limits: MediaLimits
) -> tuple[Future[MediaRows], str]:
    try:
        data = (folder / sample.path).read_bytes()
    except OSError as error:
        failed: Future[MediaRows] = Future()
        failed.set_exception(error)
        return failed, ""
    kind = MediaKind(sample.modality)
    return pool.submit(data, spec, kind, limits.decode_timeout_seconds), hashlib.sha256(data).hexdigest()


def _result(
    sample: Sample, content_hash: str, future: Future[MediaRows]
) -> tuple[Sample, Decoded | Rejected]:
    try:
        return sample, Decoded(future.result(), content_hash)
    except MediaError as error:
        return sample, Rejected(sample.path, f"{error.code}: {error.message}")
    except OSError as error:
        return sample, Rejected(sample.path, f"cannot be read: {error.strerror}")
