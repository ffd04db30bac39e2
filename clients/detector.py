"""The client for plain code."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Self, TypeVar, Unpack

import grpc

from clients import channel
from clients.errors import DetectionError, kept, translated
from clients.requests import Answer, Media, Options, Upload, prepare, prepare_streamed
from clients.stream import Answered, Stream
from deepfake.v1 import detector_pb2 as pb
from deepfake.v1 import detector_pb2_grpc

T = TypeVar("T")


class Detector:
    """A connection to a detector; safe to use from many threads.

        with Detector("localhost:50051") as detector:
            answer = detector.detect("clip.mp4", timeline=True)

    Failed calls are tried again with growing pauses if the server was unavailable or overloaded.

    Args:
        target: host:port.
        timeout: seconds that a call may take, its retries included, unless it states its own.
        retries: how often at most. By default, while the server says when to come back, until the timeout;
            five times where none says so, or the source of a URI is away.
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
        retries: int | None = None,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._channel = channel.connected(target, credentials)
        self._stub = detector_pb2_grpc.DetectorStub(self._channel)
        self._token = token
        self._timeout = timeout
        self._retries = retries

    def detect(
        self, media: Media, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> pb.DetectResponse:
        """Judges one medium, or several of one subject. A large file is sent in chunks.

        Raises:
            ValueError: no medium, an option that does not exist, or a number that cannot be sent.
        """
        prepared = prepare(media, options)
        if isinstance(prepared, pb.DetectRequest):
            return self.Detect(prepared, timeout=timeout)
        return self._tried(lambda seconds: self._upload(prepared, seconds), timeout)

    def Detect(self, request: pb.DetectRequest, *, timeout: float | None = None) -> pb.DetectResponse:  # noqa: N802
        """The bare call."""
        return self._tried(lambda seconds: self._stub.Detect(request, seconds, self._metadata), timeout)

    def detect_many(
        self, media: Iterable[Media], *, in_flight: int = 32, **options: Unpack[Options]
    ) -> Iterator[Answered]:
        """Judges many media over one stream; gives each with its answer or error, first ready first.

        Reads ahead of the answers by `in_flight` media, so it suits work that is at hand, not a
        trickle. The stream has no timeout, and is not tried again: if it breaks, what it raises
        concerns all that are still unanswered.

        Raises:
            ValueError: as `detect`.
        """
        with closing(Stream(self._stub, self._metadata)) as stream:
            for number, medium in enumerate(media):
                request = prepare_streamed(medium, options, request_id=str(number))
                if request is None:
                    yield medium, self._attempt(medium, options)
                    continue
                stream.send(medium, request)
                if stream.unanswered >= in_flight:
                    yield stream.next_answer()
            stream.end()
            while stream.unanswered:
                yield stream.next_answer()

    def _tried(self, call: Callable[[float], T], timeout: float | None) -> T:
        """The answer of `call(seconds left)`, tried again where that may help."""
        tries = channel.Tries(self._timeout if timeout is None else timeout, self._retries)
        while True:
            try:
                with translated():
                    return call(tries.seconds_left())
            except DetectionError as error:
                time.sleep(tries.pause_after(error))

    def _upload(self, upload: Upload, timeout: float) -> pb.DetectResponse:
        with upload.parts() as parts:
            return self._stub.DetectUpload(parts, timeout, self._metadata)

    def _attempt(self, media: Media, options: Options) -> Answer:
        try:
            return self.detect(media, **options)
        except DetectionError as error:
            return kept(error)

    def model(self, *, timeout: float | None = None) -> pb.GetModelResponse:
        """What is being served."""
        request = pb.GetModelRequest()
        return self._tried(lambda seconds: self._stub.GetModel(request, seconds, self._metadata), timeout)

    @property
    def _metadata(self) -> channel.Metadata:
        return channel.call_metadata(self._token)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
