"""The client for plain code."""

import queue
import time
from collections.abc import Iterable, Iterator
from typing import Self, Unpack

import grpc

from clients import channel
from clients.errors import DetectionError, from_status, stream_ended, translated
from clients.requests import Media, Options, Upload, prepare, prepare_streamed
from deepfake.v1 import detector_pb2 as pb
from deepfake.v1 import detector_pb2_grpc


class Detector:
    """A connection to a detector; safe to use from many threads.

        with Detector("localhost:50051") as detector:
            answer = detector.detect("clip.mp4", timeline=True)

    Failed calls are tried again with growing pauses if the server was unavailable or overloaded.

    Args:
        target: host:port.
        timeout: seconds that a call may take, its retries included, unless it states its own.
        retries: 0 to 4.
        token: bearer token.
        credentials: for TLS, from `clients.tls()`; without them plain text.

    Raises (every method):
        DetectionError: the server refused the call or could not be reached.
    """

    def __init__(
        self,
        target: str = channel.DEFAULT_TARGET,
        *,
        timeout: float = channel.DEFAULT_TIMEOUT,
        retries: int = channel.DEFAULT_RETRIES,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        options = channel.channel_options(retries)
        self._channel = (
            grpc.secure_channel(target, credentials, options)
            if credentials
            else grpc.insecure_channel(target, options)
        )
        self._stub = detector_pb2_grpc.DetectorStub(self._channel)
        self._metadata = channel.call_metadata(token)
        self._timeout = timeout
        self._retries = retries

    def detect(
        self, media: Media, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> pb.DetectResponse:
        """Judges one medium, or several of one subject. A large file is sent in chunks.

        Raises:
            ValueError: no medium, or an option that does not exist.
        """
        prepared = prepare(media, options)
        if isinstance(prepared, pb.DetectRequest):
            return self.Detect(prepared, timeout=timeout)
        return self._upload(prepared, timeout or self._timeout)

    def Detect(self, request: pb.DetectRequest, *, timeout: float | None = None) -> pb.DetectResponse:  # noqa: N802
        """The bare call."""
        with translated():
            return self._stub.Detect(request, timeout or self._timeout, self._metadata)

    def detect_many(
        self, media: Iterable[Media], *, in_flight: int = 32, **options: Unpack[Options]
    ) -> Iterator[tuple[Media, pb.DetectResponse | DetectionError]]:
        """Judges many media over one stream; gives each with its answer or error, first ready first.

        Reads ahead of the answers by `in_flight` media, so it suits work that is at hand, not a
        trickle. If the stream itself breaks, what it raises concerns all that are still unanswered.
        """
        outgoing: queue.SimpleQueue[pb.DetectRequest | None] = queue.SimpleQueue()
        answers = self._stub.DetectStream(iter(outgoing.get, None), metadata=self._metadata)
        waiting: dict[str, Media] = {}

        def next_answer() -> tuple[Media, pb.DetectResponse | DetectionError]:
            with translated():
                answer = next(answers, None)
            if answer is None:
                raise stream_ended(len(waiting))
            failed = answer.WhichOneof("result") == "error"
            return waiting.pop(answer.id), from_status(answer.error) if failed else answer.response

        try:
            for number, medium in enumerate(media):
                request = prepare_streamed(medium, options, request_id=str(number))
                if request is None:
                    yield medium, self._attempt(medium, options)
                    continue
                waiting[request.id] = medium
                outgoing.put(request)
                if len(waiting) >= in_flight:
                    yield next_answer()
            outgoing.put(None)
            while waiting:
                yield next_answer()
        finally:
            outgoing.put(None)  # ends gRPC's sending thread
            answers.cancel()

    def _upload(self, upload: Upload, timeout: float) -> pb.DetectResponse:
        deadline = time.monotonic() + timeout
        for pause in channel.pauses(self._retries):
            try:
                with translated():
                    return self._stub.DetectUpload(
                        upload.parts(), deadline - time.monotonic(), self._metadata
                    )
            except DetectionError as error:
                if pause is None or not error.retryable:
                    raise
                wait = error.retry_after or pause
                if time.monotonic() + wait > deadline:
                    raise
                time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _attempt(self, media: Media, options: Options) -> pb.DetectResponse | DetectionError:
        try:
            return self.detect(media, **options)
        except DetectionError as error:
            return error

    def model(self, *, timeout: float | None = None) -> pb.GetModelResponse:
        """What is being served."""
        with translated():
            return self._stub.GetModel(pb.GetModelRequest(), timeout or self._timeout, self._metadata)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
