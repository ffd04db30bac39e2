"""The client for asyncio; the same surface as `clients.detector`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self, TypeVar, Unpack

import grpc

from clients import channel
from clients.errors import DetectionError, kept, translated
from clients.requests import Answer, Media, Options, Upload, prepare, prepare_streamed
from clients.stream import Answered, Stream
from deepfake.v1 import detector_pb2 as pb
from deepfake.v1 import detector_pb2_grpc

T = TypeVar("T")


class AsyncDetector:
    """A connection to a detector for one event loop; many calls may be in flight.

        async with AsyncDetector("localhost:50051") as detector:
            answers = await asyncio.gather(*(detector.detect(path) for path in paths))

    Arguments, retries and errors are those of `clients.Detector`.
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
        settings = channel.options(target)
        if credentials:
            self._channel = grpc.aio.secure_channel(target, credentials, settings)
        else:
            self._channel = grpc.aio.insecure_channel(target, settings)
        self._stub = detector_pb2_grpc.DetectorStub(self._channel)
        # For what is sent in parts: when a server ends such a call midway, grpc.aio (1.85.1) may report
        # INTERNAL instead of the server's reason (its issue 36066). Neither connects before it is used.
        self._plain_channel = channel.connected(target, credentials)
        self._plain_stub = detector_pb2_grpc.DetectorStub(self._plain_channel)
        self._token = token
        self._timeout = timeout
        self._retries = retries

    async def detect(
        self, media: Media, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> pb.DetectResponse:
        """Judges one medium, or several of one subject. A large file is sent in chunks.

        Raises:
            ValueError: no medium, an option that does not exist, or a number that cannot be sent.
        """
        prepared = await asyncio.to_thread(prepare, media, options)
        if isinstance(prepared, pb.DetectRequest):
            return await self.Detect(prepared, timeout=timeout)
        return await self._tried(lambda seconds: self._upload(prepared, seconds), timeout)

    async def Detect(self, request: pb.DetectRequest, *, timeout: float | None = None) -> pb.DetectResponse:  # noqa: N802
        """The bare call."""
        return await self._tried(
            lambda seconds: self._stub.Detect(request, timeout=seconds, metadata=self._metadata), timeout
        )

    async def detect_many(
        self, media: Iterable[Media], *, in_flight: int = 32, **options: Unpack[Options]
    ) -> AsyncIterator[Answered]:
        """Judges many media over one stream; gives each with its answer or error, first ready first.

        Reads ahead of the answers by `in_flight` media, so it suits work that is at hand, not a
        trickle. The stream has no timeout, and is not tried again: if it breaks, what it raises
        concerns all that are still unanswered.

        Raises:
            ValueError: as `detect`.
        """
        stream = Stream(self._plain_stub, self._metadata)
        # A thread of its own, as it waits for as long as the server takes.
        reader, loop = ThreadPoolExecutor(1), asyncio.get_running_loop()
        try:
            for number, medium in enumerate(media):
                request = await asyncio.to_thread(prepare_streamed, medium, options, str(number))
                if request is None:
                    yield medium, await self._attempt(medium, options)
                    continue
                stream.send(medium, request)
                if stream.unanswered >= in_flight:
                    yield await loop.run_in_executor(reader, stream.next_answer)
            stream.end()
            while stream.unanswered:
                yield await loop.run_in_executor(reader, stream.next_answer)
        finally:
            stream.close()
            reader.shutdown(wait=False)

    async def _tried(self, call: Callable[[float], Awaitable[T]], timeout: float | None) -> T:
        """The answer of `call(seconds left)`, tried again where that may help."""
        tries = channel.Tries(self._timeout if timeout is None else timeout, self._retries)
        while True:
            try:
                with translated():
                    return await call(tries.seconds_left())
            except DetectionError as error:
                await asyncio.sleep(tries.pause_after(error))

    async def _upload(self, upload: Upload, timeout: float) -> pb.DetectResponse:
        loop, finished = asyncio.get_running_loop(), asyncio.Event()

        def wake(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finished.set)

        with upload.parts() as parts:
            call = self._plain_stub.DetectUpload.future(parts, timeout, self._metadata)
            call.add_done_callback(wake)
            try:
                await finished.wait()
                return call.result()
            finally:
                call.cancel()

    async def _attempt(self, media: Media, options: Options) -> Answer:
        try:
            return await self.detect(media, **options)
        except DetectionError as error:
            return kept(error)

    async def model(self, *, timeout: float | None = None) -> pb.GetModelResponse:
        """What is being served."""
        request = pb.GetModelRequest()
        return await self._tried(
            lambda seconds: self._stub.GetModel(request, timeout=seconds, metadata=self._metadata), timeout
        )

    @property
    def _metadata(self) -> channel.Metadata:
        return channel.call_metadata(self._token)

    async def close(self) -> None:
        self._plain_channel.close()
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
