"""The exported detector, asked as clients ask it: on a server, or in a server inside this process."""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from google.protobuf.json_format import MessageToDict

from clients import Detector
from clients.embedded import embedded_server
from clients.errors import DetectionError
from clients.predictions import short_name
from deepfake.v1 import detector_pb2 as pb
from training.errors import DataError
from training.evaluation.judge import Activation, Task
from training.evaluation.judged import JudgedFile, JudgedRow
from training.sample import WHOLE, Region

_IN_FLIGHT = 8


@contextmanager
def onnx_judge(models: Path | None) -> Iterator["ServedJudge"]:
    """The newest graph of a model repository, behind the whole server, in this process.

    Raises:
        DataError: there is none, or it cannot be served.
    """
    with _serving(models) as address, served_judge(address) as judge:
        judge.local = True
        yield judge


@contextmanager
def served_judge(server: str, token: str | None = None) -> Iterator["ServedJudge"]:
    """The detector of a running server, `host:port`.

    Raises:
        DataError: nobody answers there.
    """
    with Detector(server, token=token) as detector:
        try:
            model = detector.model()
        except DetectionError as error:
            raise DataError(f"{server}: {error.code}: {error.message}") from error
        yield ServedJudge(detector, model)


class ServedJudge:
    """Use `served_judge` or `onnx_judge` to make one; a `training.evaluation.judge.Judge`."""

    def __init__(self, detector: Detector, model: pb.GetModelResponse) -> None:
        limits = MessageToDict(model.manifest)["thresholds"]
        self._detector = detector
        self.name = f"{model.name} {model.version} on {model.execution_provider}"
        self.real_threshold, self.fake_threshold = limits["real"], limits["fake"]
        self.local = False

    def judge(self, tasks: Iterable[Task]) -> Iterator[JudgedFile]:
        waiting: dict[int, Task] = {}
        unreadable: list[JudgedFile] = []

        def media() -> Iterator[pb.Medium]:
            for task in tasks:
                if isinstance(task.content, OSError):
                    unreadable.append(task.truth.answered(error=f"cannot be read: {task.content.strerror}"))
                    continue
                kind = pb.MediaKind.Value(f"MEDIA_KIND_{task.truth.kind.upper()}")
                medium = pb.Medium(content=task.content, kind=kind)
                # The medium comes back with its answer, the same object.
                waiting[id(medium)] = task
                yield medium

        for medium, answer in self._detector.detect_many(media(), in_flight=_IN_FLIGHT, timeline=True):
            yield _judged(waiting.pop(id(medium)), answer)
        yield from unreadable

    def activations(self, content: bytes) -> list[Activation]:
        answer = self._detector.detect(content, heatmap=True)
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


def _judged(task: Task, answer: pb.DetectResponse | DetectionError) -> JudgedFile:
    if isinstance(answer, DetectionError):
        return task.truth.answered(error=f"{answer.code}: {answer.message}")
    inconclusive = answer.verdict == pb.VERDICT_INCONCLUSIVE
    rows = [
        JudgedRow(
            modality := short_name(pb.Modality, entry.modality).lower(),
            task.row_label(modality, _region(entry)),
            entry.start_seconds,
            entry.end_seconds,
            entry.fake_probability,
        )
        for entry in answer.timeline
    ]
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
        raise DataError(f"{error.code}: {error.message}") from error
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
