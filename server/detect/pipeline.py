"""The hot path, top to bottom: admit, fetch, decode, plan, run, judge."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from server.detect import plan, timeline, verdict
from server.detect.admission import MediaBytes
from server.detect.request import (
    Detection,
    Evidence,
    Medium,
    RawAudio,
    RawFrames,
    Request,
    Stopwatch,
)
from server.engine.engine import Engine
from server.engine.live import LiveEngine
from server.engine.manifest import Manifest
from server.errors import DeadlineExceeded, DetectorError, Overloaded, ShuttingDown
from server.media.isolation import DecodePool
from server.media.raw import raw_audio_rows, raw_frame_rows
from server.media.types import MediaKind, MediaRows, RowSpec
from server.sources.fetched import SourceFacts
from server.sources.source import Sources

_Sourced = tuple[MediaRows, SourceFacts | None]
_Answer = TypeVar("_Answer")


class Pipeline:
    """Answers requests, each with the engine that was current when it came.

    Args:
        live: whose engines understand our rows (`plan.check_spec`).
        decoders: the pool that untrusted bytes go to.
        sources: reads URIs.
        max_requests: accepted and unanswered at once.
        max_bytes: of media held at once.

    Attributes:
        media_bytes: counts them.
    """

    def __init__(
        self, live: LiveEngine, decoders: DecodePool, sources: Sources, max_requests: int, max_bytes: int
    ) -> None:
        self._live = live
        self._decoders = decoders
        self._sources = sources
        self._max_requests = max_requests
        self.media_bytes = MediaBytes(max_bytes)
        self._requests = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def draining(self) -> bool:
        """Whether new requests are refused."""
        return self._draining

    async def drain(self) -> None:
        """Refuses new requests from now on, and waits for the accepted ones to be answered."""
        self._draining = True
        await self._idle.wait()

    @property
    def in_flight(self) -> int:
        """Requests accepted and not yet answered."""
        return self._requests

    async def detect(self, request: Request, timing: Stopwatch | None = None) -> Detection:
        """Judges one request, and notes in `timing` how long each stage took, also if one fails.

        Cancelling it cancels what has not started: decoding, waiting for the engine.

        Raises:
            DetectorError: any of the tree, except ModelError.
        """
        watch = timing or Stopwatch()
        size = sum(medium.size for medium in request.media)
        return await self.admit(lambda engine: self._detect(request, engine, watch), request.deadline, size)

    async def admit(
        self, work: Callable[[Engine], Awaitable[_Answer]], deadline: float, size: int
    ) -> _Answer:
        """Does `work` with the current engine, as one of the accepted requests.

        Args:
            work: cancelled at the deadline.
            deadline: time.monotonic().
            size: bytes that it holds.

        Raises:
            ShuttingDown, Overloaded: not accepted.
            DeadlineExceeded: not done in time.
        """
        with self._admitted(), self.media_bytes.hold(size):
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    with self._live.borrowed() as engine:
                        return await work(engine)
            except TimeoutError as error:
                raise DeadlineExceeded("the deadline passed before the answer was ready") from error

    async def _detect(self, request: Request, engine: Engine, timing: Stopwatch) -> Detection:
        start = time.perf_counter()
        manifest = engine.manifest
        spec = plan.row_spec(manifest, request.options)
        weights = plan.fusion_weights(manifest, request.options)
        sourced = await self._media(request, spec, timing)
        media = tuple(rows for rows, _ in sourced)
        rows = plan.merge(media, weights, manifest)
        scores = await asyncio.wrap_future(engine.submit(rows, request.deadline))
        evidence = Evidence(media, scores, weights)
        timing.queue, timing.inference = scores.queue_seconds, scores.inference_seconds
        sources = tuple(source for _, source in sourced)
        detection = _judged(evidence, sources, request, manifest, timing)
        timing.total = time.perf_counter() - start
        return detection

    async def _media(self, request: Request, spec: RowSpec, timing: Stopwatch) -> tuple[_Sourced, ...]:
        if len(request.media) == 1:
            return (await self._medium(request, 0, spec, timing),)
        tasks = [
            asyncio.create_task(self._medium(request, number, spec, timing))
            for number in range(len(request.media))
        ]
        try:
            return tuple(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def _medium(self, request: Request, number: int, spec: RowSpec, timing: Stopwatch) -> _Sourced:
        medium = request.media[number]
        try:
            return await self._decoded(medium, request.deadline, spec, timing)
        except DetectorError as error:
            if len(request.media) > 1 or medium.name:
                error.message = f"media[{number}] {medium.name}: {error.message}"
            raise

    async def _decoded(self, medium: Medium, deadline: float, spec: RowSpec, timing: Stopwatch) -> _Sourced:
        if isinstance(medium.source, RawFrames):
            return raw_frame_rows(medium.source.pixels, spec), None
        if isinstance(medium.source, RawAudio):
            return raw_audio_rows(medium.source.pcm, medium.source.sample_rate, spec), None
        if isinstance(medium.source, bytes):
            return await self._decode(medium.source, medium.kind, deadline, spec, timing), None
        with self.media_bytes.hold() as held:
            start = time.perf_counter()
            fetched = await self._sources.read(medium.source, deadline)
            held.add(len(fetched.content))
            timing.fetch += time.perf_counter() - start
            rows = await self._decode(fetched.content, medium.kind, deadline, spec, timing)
            return rows, fetched.facts

    async def _decode(
        self, content: bytes, kind: MediaKind | None, deadline: float, spec: RowSpec, timing: Stopwatch
    ) -> MediaRows:
        start = time.perf_counter()
        timeout = deadline - time.monotonic()
        rows = await asyncio.wrap_future(self._decoders.submit(content, spec, kind, timeout))
        timing.decode += time.perf_counter() - start
        return rows

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._draining:
            raise ShuttingDown("the server is stopping")
        if self._requests >= self._max_requests:
            raise Overloaded(
                f"{self._requests} requests are waiting already",
                retry_after=max(0.1, self._live.current.backlog_seconds),
            )
        self._requests += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._requests -= 1
            if self._requests == 0:
                self._idle.set()


def _judged(
    evidence: Evidence,
    sources: tuple[SourceFacts | None, ...],
    request: Request,
    manifest: Manifest,
    timing: Stopwatch,
) -> Detection:
    limits = verdict.thresholds(manifest.thresholds, request.options)
    decision, reason = verdict.judge(evidence, limits)
    modalities = verdict.modality_scores(evidence)
    timed = any(rows.facts.duration_seconds for rows in evidence.media)
    rows = timeline.scored_rows(evidence) if timed or request.options.timeline else ()
    return Detection(
        decision,
        reason,
        evidence.scores.fake_probability if modalities else None,
        modalities,
        rows,
        timeline.suspicious_intervals(rows, limits.fake),
        tuple(rows.facts for rows in evidence.media),
        sources,
        manifest.name,
        manifest.version,
        timing,
    )
