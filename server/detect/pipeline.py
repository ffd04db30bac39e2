"""The hot path, top to bottom: admit, fetch, decode, plan, run, judge."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from server.detect import contents, timeline, verdict, voices
from server.detect.admission import Admission
from server.detect.cache import Question, VerdictCache
from server.detect.contents import Hashes
from server.detect.mailbox import Mailbox
from server.detect.media_bytes import Holding, MediaBytes
from server.detect.plan import Planner
from server.detect.request import (
    Detection,
    Evidence,
    Medium,
    RawAudio,
    RawFrames,
    Request,
    Stage,
    Stopwatch,
)
from server.engine.engine import Engine
from server.engine.live import LiveEngine
from server.engine.manifest import Manifest
from server.errors import DeadlineExceeded, DetectorError
from server.estimates import BySize
from server.media.isolation import DecodePool
from server.media.raw import raw_audio_rows, raw_frame_rows
from server.media.types import MediaRows, RowSpec
from server.sources.source import Sources
from server.urgency import Urgency

_Answer = TypeVar("_Answer")


class Pipeline:
    """Answers requests, each with the engine that was current when it came.

    Args:
        live: whose engines understand our rows (`plan.check_spec`).
        decoders: the pool that untrusted bytes go to.
        sources: reads URIs.
        max_requests: accepted and unanswered at once.
        media_bytes: counts and bounds the bytes of media that are held.
        verdicts: what was judged before.
        sampling_key: 32 bytes that decide, with a file's hash, where to look in it; None: at the centres.

    Attributes:
        admission: lets requests in, and drains.
        mailbox: brings what engine and decoders give.
    """

    def __init__(
        self,
        live: LiveEngine,
        decoders: DecodePool,
        sources: Sources,
        max_requests: int,
        media_bytes: MediaBytes,
        verdicts: VerdictCache,
        sampling_key: bytes | None = None,
    ) -> None:
        self._live = live
        self._decoders = decoders
        self.mailbox = Mailbox()
        self._sources = sources
        self._planner = Planner(live.current.manifest)
        self.admission = Admission(live, decoders, sources.pool, verdicts, max_requests)
        self.media_bytes = media_bytes
        self.verdicts = verdicts
        self._sampling_key = sampling_key
        self._engine_seconds = BySize()

    async def detect(self, request: Request, timing: Stopwatch) -> Detection:
        """Judges one request, and notes in `timing` how long each stage took, also if one fails.

        Cancelling it cancels what has not started: decoding, waiting for the engine.

        Raises:
            DetectorError: any of the tree, except ModelError.
        """
        start = time.perf_counter()
        try:
            hashes = contents.hashes_at_once(request) if self.verdicts.enabled else None
            detection = self._known(request, hashes)
            if detection is None:
                work = partial(self._detect, request, hashes, timing)
                size = request.copies * request.size
                detection = await self.admit(work, request.urgency, size, contents.first_stage(request))
        except DetectorError as error:
            if error.medium is not None:
                _name_medium(error, request.media, error.medium)
            raise
        timing.total = time.perf_counter() - start
        return detection

    async def admit(
        self,
        work: Callable[[Engine, Holding], Awaitable[_Answer]],
        urgency: Urgency,
        size: int,
        first: Stage,
    ) -> _Answer:
        """Does `work` with the current engine, as one of the accepted requests.

        Args:
            work: told where to count the bytes that it holds beside these; cancelled at the deadline.
            urgency: its priority and deadline.
            size: bytes that it holds.
            first: where it begins.

        Raises:
            ShuttingDown, Overloaded: not accepted.
            DeadlineExceeded: not done in time.
        """
        # Bytes first: nobody must give way to one that is refused for want of them.
        with self.media_bytes.hold(size) as held, self.admission.accepted(urgency, size, first):
            try:
                async with asyncio.timeout(urgency[1] - time.monotonic()):
                    with self._live.borrowed() as engine:
                        return await work(engine, held)
            except TimeoutError as error:
                raise DeadlineExceeded("the deadline passed before the answer was ready") from error

    def _known(self, request: Request, hashes: Hashes | None) -> Detection | None:
        """The cached answer, which costs so little that a full queue is no reason to refuse it."""
        if hashes is None or self.admission.draining:
            return None
        return self.verdicts.find(Question(self._live.current.serial, hashes, request.options))

    async def _detect(
        self, request: Request, hashes: Hashes | None, timing: Stopwatch, engine: Engine, held: Holding
    ) -> Detection:
        planner = self._planner_of(engine)
        spec = planner.row_spec(request.options)
        request, sources = await contents.fetched(request, self._sources, held, timing)
        # To hash pixels that came decoded does not pay.
        if hashes is None and self.verdicts.enabled and contents.only_files(request):
            hashes = await contents.hashes(request)
        judge = partial(self._judge, request, spec, hashes, engine, planner, timing)
        if hashes is None:
            detection = await judge()
        else:
            question = Question(engine.serial, hashes, request.options)
            detection = await self.verdicts.answer(question, request.urgency, judge)
        return replace(detection, sources=sources) if any(sources) else detection

    def _planner_of(self, engine: Engine) -> Planner:
        if self._planner.manifest is not engine.manifest:
            self._planner = Planner(engine.manifest)
        return self._planner

    async def _judge(
        self,
        request: Request,
        spec: RowSpec,
        hashes: Hashes | None,
        engine: Engine,
        planner: Planner,
        timing: Stopwatch,
    ) -> Detection:
        pairs = tuple(zip(request.media, await self._specs(request, spec, hashes), strict=True))
        media = tuple(await contents.of_each(pairs, lambda pair: self._decoded(*pair, request, timing)))
        weights = planner.fusion_weights(request.options)
        merge = partial(planner.merge, media, weights)
        # Copying the pictures of many media takes longer than the event loop may be kept from all others.
        merged = merge() if len(media) == 1 else await asyncio.to_thread(merge)
        parts, owners = voices.split(merged, media)
        submitted = time.perf_counter()
        for medium, its_rows in zip(request.media, media, strict=True):
            if isinstance(medium.source, bytes):
                self._engine_seconds.learn(medium.size, engine.seconds(its_rows.counts))
        scores = await self.mailbox.bring_all(engine.submit(rows, request.urgency) for rows in parts)
        timing.ran(submitted, scores)
        evidence = Evidence(media, voices.join(scores, owners, weights), weights)
        return _judged(evidence, request, engine.manifest)

    async def _specs(self, request: Request, spec: RowSpec, hashes: Hashes | None) -> tuple[RowSpec, ...]:
        key = self._sampling_key
        if key is None:
            return (spec,) * len(request.media)
        hashes = hashes or await contents.hashes(request)
        return tuple(replace(spec, phase=contents.phase(digest, key)) for digest, _ in hashes)

    async def _decoded(self, medium: Medium, spec: RowSpec, request: Request, timing: Stopwatch) -> MediaRows:
        match medium.source:
            case RawFrames(pixels):
                return raw_frame_rows(pixels, spec)
            case RawAudio(pcm, sample_rate):
                return raw_audio_rows(pcm, sample_rate, spec)
            case bytes(content):
                start = time.perf_counter()
                # The engine has to do with it, too, and mostly on the same cores.
                cost = self._decoders.seconds(len(content)) + self._engine_seconds.of(len(content))
                rows = await self.mailbox.bring(
                    self._decoders.submit(content, spec, medium.kind, request.urgency, cost)
                )
                timing.lap("decode", start, time.perf_counter(), bytes=len(content))
                return rows
            case uri:
                raise AssertionError(f"{uri} was not fetched")


def _judged(evidence: Evidence, request: Request, manifest: Manifest) -> Detection:
    limits = verdict.thresholds(manifest.thresholds, request.options)
    modalities = verdict.modality_scores(evidence)
    decision, reason = verdict.judge(evidence, modalities, limits)
    timed = any(rows.facts.duration_seconds for rows in evidence.media)
    rows = timeline.scored_rows(evidence) if timed or request.options.timeline else ()
    return Detection(
        verdict=decision,
        reason=reason,
        fake_probability=evidence.scores.fake_probability if modalities else None,
        modalities=modalities,
        rows=rows,
        suspicious=timeline.suspicious_intervals(rows, limits.fake),
        facts=tuple(rows.facts for rows in evidence.media),
        sources=(None,) * len(evidence.media),
        model_name=manifest.name,
        model_version=manifest.version,
    )


def _name_medium(error: DetectorError, media: tuple[Medium, ...], number: int) -> None:
    if len(media) > 1 or media[number].name:
        which = f"media[{number}] {media[number].name}".rstrip()
        error.message = f"{which}: {error.message}"
