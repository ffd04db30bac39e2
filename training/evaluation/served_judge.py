"""The exported detector, asked as clients ask it: on a server, or in a server inside this process."""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
from google.protobuf.json_format import MessageToDict

from clients import Detector, tls
from clients.embedded import embedded_server
from clients.errors import DetectionError
from clients.predictions import short_name
from deepfake.v1 import detector_pb2 as pb
from training.decode import failure, stated_kind
from training.errors import DataError
from training.evaluation.judge import Activation, Task
from training.evaluation.judged import JudgedFile, JudgedRow
from training.sample import WHOLE, Region

_IN_FLIGHT = 8
# What is wrong with a file is said with another status.
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.DEADLINE_EXCEEDED)


@contextmanager
def onnx_judge(models: Path | None) -> Iterator["ServedJudge"]:
    """The newest graph of a model repository, behind the whole server, in this process.

    Raises:
        DataError: there is none, or it cannot be served.
    """
    with _serving(models) as address, served_judge(address) as judge:
        judge.local = True
        yield judge


def credentials(
    use_tls: bool, ca: Path | None, cert: Path | None, key: Path | None
) -> grpc.ChannelCredentials | None:
    """For a server that speaks TLS, which files imply; None for plain text.

    Raises:
        DataError: the files cannot be used.
    """
    if not (use_tls or ca or cert or key):
        return None
    try:
        return tls(ca, cert, key)
    except (OSError, ValueError) as error:
        raise DataError(f"--ca, --cert, --key: {error}") from error


@contextmanager
def served_judge(
    server: str, token: str | None = None, credentials: grpc.ChannelCredentials | None = None
) -> Iterator["ServedJudge"]:
    """The detector of a running server, `host:port`.

    Args:
        token: bearer token.
        credentials: for TLS; without them plain text.

    Raises:
        DataError: nobody answers there.
    """
    with Detector(server, token=token, credentials=credentials) as detector:
        try:
            model = detector.model()
        except DetectionError as error:
            raise DataError(f"{server}: {error.code}: {error.message}") from error
        yield ServedJudge(detector, model)


class ServedJudge:
    """Use `served_judge` or `onnx_judge` to make one; a `training.evaluation.judge.Judge`."""

    def __init__(self, detector: Detector, model: pb.GetModelResponse) -> None:
        manifest = MessageToDict(model.manifest)
        limits = manifest["thresholds"]
        self._detector = detector
        self.name = f"{model.name} {model.version} in {manifest['precision']} on {model.execution_provider}"
        self.real_threshold, self.fake_threshold = limits["real"], limits["fake"]
        self.local = False

    def judge(self, tasks: Iterable[Task]) -> Iterator[JudgedFile]:
        rest = iter(tasks)
        waiting: dict[int, tuple[pb.Medium, Task]] = {}
        unreadable: list[JudgedFile] = []

        def media() -> Iterator[pb.Medium]:
            for task in rest:
                if isinstance(task.content, OSError):
                    unreadable.append(task.truth.answered(error=failure(task.content)))
                    continue
                kind = stated_kind(task.truth.kind) or "unspecified"
                value = pb.MediaKind.Value(f"MEDIA_KIND_{kind.upper()}")
                medium = pb.Medium(content=task.content, kind=value)
                # The medium comes back with its answer, the same object.
                waiting[id(medium)] = medium, task
                yield medium

        ended = False
        while not ended:
            try:
                for medium, answer in self._detector.detect_many(
                    media(), in_flight=_IN_FLIGHT, timeline=True
                ):
                    yield _judged(waiting.pop(id(medium))[1], answer)
                ended = True
            except DetectionError as error:
                # A call alone is tried again, which the media of a stream that broke are not.
                alone = [(task, self._alone(medium)) for medium, task in waiting.values()]
                waiting.clear()
                yield from (_judged(task, answer) for task, answer in alone)
                if all(isinstance(answer, DetectionError) and answer.status in _GONE for _, answer in alone):
                    # The server is gone, and what it answered is not to be lost with it.
                    yield from (_judged(task, error) for task in rest)
                    ended = True
        yield from unreadable

    def _alone(self, medium: pb.Medium) -> pb.DetectResponse | DetectionError:
        try:
            return self._detector.detect(medium, timeline=True)
        except DetectionError as error:
            return error

    def activations(self, content: bytes) -> list[Activation]:
        try:
            answer = self._detector.detect(content, heatmap=True)
        except DetectionError as error:
            raise DataError(f"{error.code}: {error.message}") from error
        return [
            Activation(
                _region(entry),
                entry.start_seconds,
                entry.fake_probability,
                np.asarray(entry.heatmap.values, np.float32).reshape(
                    entry.heatmap.height, entry.heatmap.width
                ),
            )
            for entry in answer.timeline
            if entry.HasField("heatmap")
        ]


def _by_modality(timeline: Iterable[pb.TimelineEntry]) -> dict[str, list[pb.TimelineEntry]]:
    found: dict[str, list[pb.TimelineEntry]] = {}
    for entry in timeline:
        found.setdefault(short_name(pb.Modality, entry.modality).lower(), []).append(entry)
    return found


def _judged(task: Task, answer: pb.DetectResponse | DetectionError) -> JudgedFile:
    if isinstance(answer, DetectionError):
        return task.truth.answered(error=f"{answer.code}: {answer.message}")
    inconclusive = answer.verdict == pb.VERDICT_INCONCLUSIVE
    try:
        rows = [
            JudgedRow(modality, label, entry.start_seconds, entry.end_seconds, entry.fake_probability)
            for modality, entries in _by_modality(answer.timeline).items()
            for entry, label in zip(entries, _labels(task, modality, entries), strict=True)
        ]
    except DataError as error:
        return task.without_mask(error)
    return task.truth.answered(
        verdict=short_name(pb.Verdict, answer.verdict),
        reason=short_name(pb.InconclusiveReason, answer.inconclusive_reason) if inconclusive else None,
        fake_probability=answer.fake_probability if answer.HasField("fake_probability") else None,
        total_seconds=answer.timing.total_seconds,
        rows=tuple(rows),
        **{
            f"{short_name(pb.Modality, score.modality).lower()}_probability": score.fake_probability
            for score in answer.modalities
        },
    )


def _labels(task: Task, modality: str, entries: list[pb.TimelineEntry]) -> list[int]:
    apart = any(entry.HasField("channel") for entry in entries)
    return task.row_labels(modality, [*map(_region, entries)], apart)


def _region(entry: pb.TimelineEntry) -> Region:
    if not entry.HasField("region"):
        return WHOLE
    return entry.region.left, entry.region.top, entry.region.right, entry.region.bottom


@contextmanager
def _serving(models: Path | None) -> Iterator[str]:
    """A server in a thread of its own; gives its address."""
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        try:
            async with embedded_server(models) as address:
                started.set_result((address, asyncio.get_running_loop(), stop))
                await stop.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    try:
        address, loop, stop = started.result()
    except DetectionError as error:
        raise DataError(str(error)) from error
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
