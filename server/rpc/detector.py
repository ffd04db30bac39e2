"""The Detector service of deepfake.v1 on grpc.aio."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from google.protobuf import json_format

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1 import detector_pb2_grpc as pb_grpc
from server.detect.media_bytes import MESSAGE_COPIES, STREAM_COPIES
from server.detect.pipeline import Pipeline
from server.detect.request import Request
from server.engine.reload import Reloader
from server.errors import InvalidRequest, TooSlow, Unauthenticated
from server.rpc import convert, upload
from server.rpc.status import Context, abort, to_status
from server.settings import Settings
from server.telemetry import Record, Telemetry


class Detector(pb_grpc.DetectorServicer):
    """Answers with the pipeline's current model."""

    def __init__(
        self, pipeline: Pipeline, reloader: Reloader, telemetry: Telemetry, settings: Settings
    ) -> None:
        self._pipeline = pipeline
        self._telemetry = telemetry
        self._reloader = reloader
        self._settings = settings

    async def Detect(self, request: pb.DetectRequest, context: Context) -> pb.DetectResponse:
        try:
            with self._telemetry.request("Detect", request.id, context.invocation_metadata()) as record:
                asked = convert.to_request(request, self._settings, context.time_remaining(), MESSAGE_COPIES)
                return await self._answer(request, asked, record)
        except Exception as error:
            await abort(context, error)

    async def DetectUpload(
        self, request_iterator: AsyncIterator[pb.DetectUploadRequest], context: Context
    ) -> pb.DetectResponse:
        try:
            with self._telemetry.request("DetectUpload", metadata=context.invocation_metadata()) as record:
                media_bytes, settings = self._pipeline.media_bytes, self._settings
                # Which may pass while chunks are still to come.
                if (allowed := context.time_remaining()) is not None:
                    record.deadline = time.monotonic() + allowed
                request, content = await upload.receive(request_iterator, settings, media_bytes)
                record.identify(request.id)
                seconds = context.time_remaining()
                asked = convert.to_uploaded_request(request, content, settings, seconds)
                return await self._answer(request, asked, record)
        except Exception as error:
            await abort(context, error)

    async def DetectStream(
        self, request_iterator: AsyncIterator[pb.DetectRequest], context: Context
    ) -> AsyncIterator[pb.DetectStreamResponse]:
        answers: asyncio.Queue[pb.DetectStreamResponse | None] = asyncio.Queue()
        # Reading no further than the limit lets HTTP/2 flow control hold a fast caller back.
        free = asyncio.Semaphore(self._settings.max_stream_concurrency)
        reader = asyncio.create_task(self._read_stream(request_iterator, context, answers, free))
        try:
            while (answer := await answers.get()) is not None:
                yield answer
                # Only now, so that a caller who does not read is not read either.
                free.release()
            if broken := await reader:
                raise broken  # whoever looks at messages and tokens answers that
        except TimeoutError:
            seconds = self._settings.stream_idle_timeout_seconds
            problem = f"the stream had nothing to do for {seconds:g} seconds"
            await abort(context, TooSlow(problem, "Open another when there is something to judge."))
        finally:
            reader.cancel()

    async def _read_stream(
        self,
        requests: AsyncIterator[pb.DetectRequest],
        context: Context,
        answers: "asyncio.Queue[pb.DetectStreamResponse | None]",
        free: asyncio.Semaphore,
    ) -> InvalidRequest | Unauthenticated | None:
        """The error of the message that ended the stream; None if its caller ended it.

        Raises:
            TimeoutError: it had nothing to do for too long.
        """
        in_flight: set[str] = set()
        idle, clock = self._settings.stream_idle_timeout_seconds, asyncio.get_running_loop().time
        running = 0
        broken: InvalidRequest | Unauthenticated | None = None

        async def answer(request: pb.DetectRequest) -> None:
            nonlocal running
            answers.put_nowait(await self._stream_answer(request, context, in_flight))
            running -= 1
            if not running:
                patience.reschedule(clock() + idle)

        try:
            async with asyncio.timeout(idle) as patience, asyncio.TaskGroup() as group:
                try:
                    async for request in requests:
                        await free.acquire()
                        running += 1
                        patience.reschedule(None)
                        group.create_task(answer(request))
                        del request  # which nobody may answer for long
                except (InvalidRequest, Unauthenticated) as error:
                    # What came before is answered first.
                    broken = error.with_traceback(None)  # which holds the message
        finally:
            answers.put_nowait(None)
        return broken

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        with self._telemetry.request("GetModel", metadata=context.invocation_metadata()):
            return self._model()

    def _model(self) -> pb.GetModelResponse:
        engine, settings = self._reloader.live.current, self._settings
        manifest = engine.manifest
        response = pb.GetModelResponse(
            name=manifest.name,
            version=manifest.version,
            available_versions=self._reloader.available,
            execution_provider=engine.provider.name,
            execution_provider_reason=engine.provider.why,
            modalities=[convert.WIRE_MODALITIES[name] for name in manifest.modalities],
            frame_height=manifest.height,
            frame_width=manifest.width,
            sample_rate=manifest.audio.sample_rate if manifest.audio else 0,
            limits=pb.Limits(
                max_message_bytes=settings.max_message_bytes,
                max_media_bytes=settings.max_media_bytes,
                max_media_per_request=settings.max_media_per_request,
                max_frames_per_video=settings.max_frames_per_video,
                max_pixels=settings.max_pixels,
                max_duration_seconds=settings.max_duration_seconds,
                max_queue_size=settings.max_queue_size,
            ),
        )
        json_format.ParseDict(manifest.model_dump(mode="json"), response.manifest)
        return response

    async def _answer(self, message: pb.DetectRequest, request: Request, record: Record) -> pb.DetectResponse:
        record.deadline = request.deadline
        detection = await self._pipeline.detect(request, record.timing)
        record.answered(detection)
        return convert.to_response(message, detection, record.timing)

    async def _stream_answer(
        self, request: pb.DetectRequest, context: Context, in_flight: set[str]
    ) -> pb.DetectStreamResponse:
        try:
            with (
                self._telemetry.request("DetectStream", request.id, context.invocation_metadata()) as record,
                _unique(request.id, in_flight),
            ):
                seconds = context.time_remaining()
                asked = convert.to_request(request, self._settings, seconds, STREAM_COPIES)
                response = await self._answer(request, asked, record)
                return pb.DetectStreamResponse(id=request.id, response=response)
        except Exception as error:
            return pb.DetectStreamResponse(id=request.id, error=to_status(error))


@contextmanager
def _unique(request_id: str, in_flight: set[str]) -> Iterator[None]:
    if not request_id or request_id in in_flight:
        raise InvalidRequest(f"id {request_id!r} is empty or in flight already")
    in_flight.add(request_id)
    try:
        yield
    finally:
        in_flight.remove(request_id)
