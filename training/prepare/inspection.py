"""Decoding every file once, in processes that survive what a file does to a codec."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.errors import DecoderCrashed, DecodeTimeout, MediaError
from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.sampling import choose_windows
from server.media.types import MediaRows, RowSpec
from training.decode import stated_kind
from training.prepare.fingerprint import SIDE, picture_fingerprint, sound_fingerprint
from training.prepare.journal import Inspection, ListedFile

# Small pictures, as the fingerprints want them: decoding costs the same, sending them less.
SPEC = RowSpec(height=SIDE, width=SIDE, crops=0, frames=5, want_clips=False, window_samples=64_000)

_FILES_PER_WORKER = 3
_BYTES_IN_FLIGHT = 2**30

Read = tuple[ListedFile, str]


def inspect_files(files: Iterator[ListedFile], workers: int, timeout_seconds: float) -> Iterator[Inspection]:
    """Decodes the files, many at once, and tells of each as soon as it is done, in any order."""
    limits = MediaLimits(decode_timeout_seconds=timeout_seconds)
    running: dict[Future[MediaRows], Read] = {}
    in_flight = 0
    with closing(DecodePool(workers, limits)) as pool:
        for file in files:
            while len(running) >= _FILES_PER_WORKER * workers or (running and in_flight > _BYTES_IN_FLIGHT):
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    in_flight -= running[future][0].size
                    yield _inspection(*running.pop(future), future)
            started = _start(file, pool, limits)
            if isinstance(started, Inspection):
                yield started
            else:
                running[started[0]] = started[1]
                in_flight += file.size
        for future in list(running):
            yield _inspection(*running.pop(future), future)


def _start(
    file: ListedFile, pool: DecodePool, limits: MediaLimits
) -> Inspection | tuple[Future[MediaRows], Read]:
    if file.size > limits.max_bytes:
        return _failed(file, f"MEDIA_LIMIT_EXCEEDED: {file.size} bytes are more than {limits.max_bytes}")
    try:
        data = Path(file.path).read_bytes()
    except OSError as error:
        return _failed(file, f"UNREADABLE: {error.strerror}", passing=True)
    future = pool.submit(data, SPEC, stated_kind(file.modality))
    return future, (file, hashlib.sha256(data).hexdigest())


def _inspection(file: ListedFile, content_hash: str, future: Future[MediaRows]) -> Inspection:
    try:
        rows = future.result()
    except MediaError as error:
        passing = isinstance(error, DecodeTimeout | DecoderCrashed)
        return _failed(file, f"{error.code}: {error.message}", content_hash, passing)
    warnings = " ".join(rows.facts.warnings)
    if not len(rows.audio if file.modality == "audio" else rows.image_index):
        return _failed(file, f"NO_ROWS: it gives no {file.modality} rows. {warnings}", content_hash)
    return Inspection(
        file.path,
        file.size,
        file.mtime_ns,
        file.modality,
        content_hash=content_hash,
        fingerprint=_fingerprint(rows, file),
        duration_seconds=rows.facts.duration_seconds,
        warnings=warnings,
    )


def _fingerprint(rows: MediaRows, file: ListedFile) -> bytes | None:
    if file.modality != "audio":
        return picture_fingerprint(rows.frames[rows.image_index])
    return sound_fingerprint(heard(rows), SPEC.sample_rate)


def heard(rows: MediaRows) -> NDArray[np.float32]:
    """The windows of a sound in one piece, by `SPEC`; those that were left out as silent are zeros in it.

    A copy may have noise there: without them, all that follows would come at another time.
    """
    length = round(rows.facts.duration_seconds * SPEC.sample_rate)
    starts = choose_windows(length, SPEC.window_samples, SPEC.windows)
    places = np.arange(len(rows.audio))
    if len(places) < len(starts):
        places = np.abs(rows.audio_times[:, :1] * SPEC.sample_rate - starts).argmin(1)
    windows = np.zeros((len(starts), SPEC.window_samples), np.float32)
    windows[places] = rows.audio
    # A sound shorter than its window was repeated to fill it.
    return windows.ravel()[:length]


def _failed(file: ListedFile, problem: str, content_hash: str = "", passing: bool = False) -> Inspection:
    return Inspection(
        file.path, file.size, file.mtime_ns, file.modality, problem, passing, content_hash=content_hash
    )
