"""The GRPCInferenceService of the Open Inference Protocol on grpc.aio."""

import asyncio
import importlib.metadata
from collections.abc import AsyncIterator
from functools import cache

from google.rpc import code_pb2

from open_inference.v2 import inference_pb2 as pb
from open_inference.v2 import inference_pb2_grpc as pb_grpc
from server.detect.media_bytes import MESSAGE_COPIES, STREAM_COPIES, Holding
from server.detect.pipeline import Pipeline
from server.detect.request import Stage
from server.detect.tensors import infer
from server.engine.engine import Engine
from server.engine.live import LiveEngine
from server.engine.signature import outputs_of
from server.errors import InvalidRequest
from server.rpc.open_inference import description, tensors
from server.rpc.open_inference.urgency import urgency_of
from server.rpc.status import Context, abort, to_status
from server.settings import Settings
from server.telemetry import Record, Telemetry

_SERVER = "deepfake-detector"
# Triton's names: what perf_analyzer looks for before it asks.
_EXTENSIONS = ("model_configuration", "schedule_policy", "statistics")


class OpenInference(pb_grpc.GRPCInferenceServiceServicer):
    """Answers with the current model's raw tensors."""

    def __init__(
        self, pipeline: Pipeline, live: LiveEngine, telemetry: Telemetry, settings: Settings
    ) -> None:
        self._pipeline = pipeline
        self._telemetry = telemetry
        self._live = live
        self._settings = settings

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=not self._pipeline.admission.draining)

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name=_SERVER, version=_version(), extensions=_EXTENSIONS)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        served = description.serves(self._live.current.manifest, request.name, request.version)
        return pb.ModelReadyResponse(ready=served and not self._pipeline.admission.draining)

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        try:
            return description.metadata(self._engine(request.name, request.version).manifest)
        except Exception as error:
            await abort(context, error)

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: Context) -> pb.ModelConfigResponse:
        try:
            return description.config(self._engine(request.name, request.version).manifest)
        except Exception as error:
            await abort(context, error)

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse:
        try:
            served = self._live.current.manifest
            engine = self._engine(request.name or served.name, request.version)
            return description.statistics(engine.manifest, engine.statistics.figures)
        except Exception as error:
            await abort(context, error)

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        if request.repository_name:
            return pb.RepositoryIndexResponse()
        return description.index(self._live.current.manifest)

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        try:
            with self._telemetry.request("ModelInfer", request.id, context.invocation_metadata()) as record:
                return await self._answer(request, context.time_remaining(), record, MESSAGE_COPIES)
        except Exception as error:
            await abort(context, error)

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[pb.ModelInferRequest], context: Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        # In the order of the requests, as Triton answers: callers without ids rely on it.
        answers: asyncio.Queue[asyncio.Task[pb.ModelStreamInferResponse] | None] = asyncio.Queue()
        # Given back when an answer has been sent, so that a caller who does not read is not read either.
        free = asyncio.Semaphore(self._settings.max_stream_concurrency)

        async def read() -> InvalidRequest | None:
            try:
                async for request in request_iterator:
                    await free.acquire()
                    answer = self._stream_answer(request, context)
                    answers.put_nowait(asyncio.create_task(answer))
                    del request, answer
            except InvalidRequest as error:
                return error.with_traceback(None)  # which holds the message
            finally:
                answers.put_nowait(None)
            return None

        reader = asyncio.create_task(read())
        try:
            while (answer := await answers.get()) is not None:
                yield await answer
                free.release()
            if broken := await reader:
                raise broken  # whoever looks at messages answers that
        finally:
            reader.cancel()
            while not answers.empty():
                if (unread := answers.get_nowait()) is not None:
                    unread.cancel()

    async def _answer(
        self, request: pb.ModelInferRequest, seconds: float | None, record: Record, copies: int
    ) -> pb.ModelInferResponse:
        inputs = tensors.to_tensors(request)
        urgency = urgency_of(request, seconds, self._settings.default_deadline_seconds)
        record.deadline = urgency[1]

        async def work(engine: Engine, _: Holding) -> pb.ModelInferResponse:
            manifest = engine.manifest
            description.check_served(manifest, request.model_name, request.model_version)
            names = tensors.wanted_outputs(request, [spec.name for spec in outputs_of(manifest)])
            outputs = await infer(
                engine,
                inputs,
                urgency,
                self._settings.max_inference_rows,
                record.timing,
                self._pipeline.mailbox,
            )
            response = pb.ModelInferResponse(
                model_name=manifest.name, model_version=manifest.version, id=request.id
            )
            response.parameters.MergeFrom(request.parameters)
            tensors.add_outputs(response, outputs, names)
            return response

        size = copies * sum(tensor.nbytes for tensor in inputs.values())
        return await self._pipeline.admit(work, urgency, size, Stage.ENGINE)

    async def _stream_answer(
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelStreamInferResponse:
        try:
            metadata = context.invocation_metadata()
            with self._telemetry.request("ModelStreamInfer", request.id, metadata) as record:
                answer = await self._answer(request, context.time_remaining(), record, STREAM_COPIES)
                return pb.ModelStreamInferResponse(infer_response=answer)
        except Exception as error:
            status = to_status(error)
            return pb.ModelStreamInferResponse(
                error_message=f"{code_pb2.Code.Name(status.code)}: {status.message}",
                infer_response=pb.ModelInferResponse(id=request.id),
            )

    def _engine(self, name: str, version: str) -> Engine:
        """The current engine. Raises ModelNotFound if its model is not the one named."""
        engine = self._live.current
        description.check_served(engine.manifest, name, version)
        return engine


@cache
def _version() -> str:
    try:
        return importlib.metadata.version(_SERVER)
    except importlib.metadata.PackageNotFoundError:  # run from its source tree
        return ""
