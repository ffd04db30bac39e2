"""A detector on a loopback port that answers from a script."""

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1 import detector_pb2_grpc


def failure(
    status: grpc.StatusCode, reason: str, message: str, hint: str = "", retry_after: float | None = None
) -> status_pb2.Status:
    """A failure with the details that the real server sends."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain="deepfake.v1", metadata={"hint": hint})
    made = status_pb2.Status(code=status.value[0], message=message)
    made.details.add().Pack(info)
    if retry_after is not None:
        delay = timedelta(seconds=retry_after)
        made.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return made


MAX_MESSAGE_BYTES = 5 * 2**20
MAX_MEDIA_BYTES = 2 * MAX_MESSAGE_BYTES

UNAVAILABLE = failure(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", "the server is stopping")
CORRUPT = failure(
    grpc.StatusCode.INVALID_ARGUMENT, "CORRUPT_MEDIA", "nothing can be decoded", "Check that the file opens."
)


@dataclass
class FakeDetector(detector_pb2_grpc.DetectorServicer):
    """Content starting with b"fake" is FAKE, with b"broken" is CORRUPT_MEDIA, all else is REAL.

    Attributes:
        failures: raised by the next calls, one each, before any is answered.
        forgets_last: whether a stream ends without an answer to an odd request at its end.
        go_on: single calls and uploads wait for it; set from the start.
        requests: what was judged, uploads put together again.
        calls: name of the method of each call that arrived.
        metadata: of the last call.
    """

    failures: list[status_pb2.Status] = field(default_factory=list)
    forgets_last: bool = False
    go_on: threading.Event = field(default_factory=threading.Event)
    requests: list[pb.DetectRequest] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    address: str = ""

    def __post_init__(self) -> None:
        self.go_on.set()

    def Detect(self, request: pb.DetectRequest, context: Any) -> pb.DetectResponse:
        self._arrived("Detect", context)
        self.go_on.wait(10)
        return self._judge(request, context)

    def DetectStream(self, request_iterator: Any, context: Any) -> Iterator[pb.DetectStreamResponse]:
        """Answers every two requests in reverse order."""
        self._arrived("DetectStream", context)
        held: list[pb.DetectRequest] = []
        for request in request_iterator:
            held.append(request)
            if len(held) == 2:
                yield from map(self._stream_answer, reversed(held))
                held.clear()
        if not self.forgets_last:
            yield from map(self._stream_answer, held)

    def DetectUpload(self, request_iterator: Any, context: Any) -> pb.DetectResponse:
        self._arrived("DetectUpload", context)
        header = next(request_iterator).header
        content = b"".join(part.chunk for part in request_iterator)
        assert header.size_bytes == len(content)
        self.go_on.wait(10)
        medium = pb.Medium(content=content, name=header.name, kind=header.kind)
        return self._judge(pb.DetectRequest(media=[medium], options=header.options), context)

    def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.GetModelResponse:
        self._arrived("GetModel", context)
        answer = pb.GetModelResponse(
            name="scripted",
            version="7",
            available_versions=["7", "6"],
            execution_provider="CPUExecutionProvider",
            modalities=[pb.MODALITY_IMAGE, pb.MODALITY_AUDIO],
            limits=pb.Limits(max_media_bytes=MAX_MEDIA_BYTES),
        )
        answer.manifest.update({"precision": "int8", "thresholds": {"real": 0.35, "fake": 0.65}})
        return answer

    def _arrived(self, method: str, context: Any) -> None:
        self.calls.append(method)
        self.metadata = dict(context.invocation_metadata())
        if self.failures and method != "GetModel":
            status = rpc_status.to_status(self.failures.pop(0))
            context.abort_with_status(status)

    def _stream_answer(self, request: pb.DetectRequest) -> pb.DetectStreamResponse:
        if _content(request).startswith(b"broken"):
            return pb.DetectStreamResponse(id=request.id, error=CORRUPT)
        return pb.DetectStreamResponse(id=request.id, response=self._answer(request))

    def _judge(self, request: pb.DetectRequest, context: Any) -> pb.DetectResponse:
        if _content(request).startswith(b"broken"):
            context.abort_with_status(rpc_status.to_status(CORRUPT))
        return self._answer(request)

    def _answer(self, request: pb.DetectRequest) -> pb.DetectResponse:
        self.requests.append(request)
        fake = _content(request).startswith(b"fake")
        probability = 0.9375 if fake else 0.0625
        return pb.DetectResponse(
            id=request.id,
            verdict=pb.VERDICT_FAKE if fake else pb.VERDICT_REAL,
            fake_probability=probability,
            modalities=[
                pb.ModalityScore(
                    modality=pb.MODALITY_IMAGE, fake_probability=probability, rows=5, weight=0.75
                ),
                pb.ModalityScore(modality=pb.MODALITY_AUDIO, fake_probability=0.5, rows=2, weight=0.25),
            ],
            timeline=[
                pb.TimelineEntry(
                    modality=pb.MODALITY_IMAGE, start_seconds=1, end_seconds=2, fake_probability=probability
                )
            ],
            suspicious_intervals=[
                pb.SuspiciousInterval(
                    modality=pb.MODALITY_AUDIO,
                    start_seconds=1.5,
                    end_seconds=2.5,
                    peak_probability=0.75,
                    channel=1,
                )
            ],
            media=[
                pb.MediaFacts(
                    name=medium.name,
                    kind=pb.MEDIA_KIND_VIDEO,
                    container="mov,mp4,m4a,3gp,3g2,mj2",
                    video_codec="h264",
                    audio_codec="aac",
                    size_bytes=len(medium.content),
                    width=640,
                    height=360,
                    duration_seconds=4.5,
                    frame_rate=25,
                    sample_rate=44100,
                    channels=2,
                )
                for medium in request.media
            ],
            model_name="scripted",
            model_version="7",
            timing=pb.Timing(decode_seconds=0.002, inference_seconds=0.025, total_seconds=0.03125),
        )


def _content(request: pb.DetectRequest) -> bytes:
    return request.media[0].content


@contextmanager
def fake_server(port: int = 0) -> Iterator[FakeDetector]:
    """A detector that listens at its `address`."""
    servicer = FakeDetector()
    server = grpc.server(
        futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
    )
    detector_pb2_grpc.add_DetectorServicer_to_server(servicer, server)
    servicer.address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    server.start()
    try:
        yield servicer
    finally:
        servicer.go_on.set()
        server.stop(None).wait()
