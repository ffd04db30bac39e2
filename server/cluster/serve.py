"""The detector as a Ray Serve application: one engine in each replica, behind Serve's gRPC proxies.

`serve run deploy/ray/serve.yaml` starts it. The proxy of any node takes a call and hands it to a
replica with room; requests that wait there form the batches of its engine, as in the plain server.
"""

import gc
from collections.abc import AsyncIterator
from typing import Any

import ray
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.grpc_util import RayServegRPCContext

from deepfake.v1 import detector_pb2 as pb
from server import logs
from server.backend import Backend
from server.cluster.context import Aborted, ServeContext
from server.errors import EngineFailed
from server.rpc.detector import Detector
from server.settings import Settings

# Enough to keep batches full; more than that waits for another replica.
_TARGET_ONGOING_REQUESTS = 16


def app(settings: Settings) -> Application:
    """What `import_path: server.cluster.serve:app` names.

    Args:
        settings: Serve makes them of the `args` of its config file and the DEEPFAKE_ variables that
            Ray was started with. Those about listeners, `metrics_port` among them, do not apply.

    Raises:
        ValueError: the settings ask for tokens or TLS.
    """
    if settings.tokens or settings.tls_certificate:
        raise ValueError(
            "Serve's proxies know neither tokens nor TLS: let a gateway in front of them ask for both"
        )
    return deployment(settings).bind(settings)


def deployment(settings: Settings) -> Deployment:
    """The deployment with the limits of the settings; Serve's config file may change its options."""
    deploy = serve.deployment(
        name="Detector",
        max_ongoing_requests=settings.max_queue_size,
        max_queued_requests=settings.max_queue_size,
        graceful_shutdown_timeout_s=settings.drain_timeout_seconds,
        autoscaling_config={"target_ongoing_requests": _TARGET_ONGOING_REQUESTS},
    )
    return deploy(Replica)


class Replica:
    """One engine, and the four calls of `deepfake.v1.Detector`.

    A failed call returns an empty answer whose context has the status: Serve drops the trailing
    metadata, which hold the error's code and hint, when a replica raises.
    """

    def __init__(self, settings: Settings) -> None:
        logs.configure(settings.log_level, settings.log_format)
        # As in `server.app.serve`.
        gc.freeze()
        self._dead = False
        fitted = fitted_to_ray(settings)
        self._backend = Backend(fitted, self._engine_died)
        self._detector = Detector(
            self._backend.pipeline, self._backend.reloader, self._backend.telemetry, fitted
        )

    def check_health(self) -> None:
        """Raises EngineFailed when the engine is dead, so that Serve replaces this replica."""
        if self._dead:
            raise EngineFailed("the engine keeps failing; the log has the cause")

    async def __del__(self) -> None:
        # Serve calls and awaits it, when the calls in progress have been answered.
        await self._backend.drain()
        await self._backend.close()

    async def Detect(self, request: pb.DetectRequest, grpc_context: RayServegRPCContext) -> pb.DetectResponse:
        try:
            return await self._detector.Detect(request, ServeContext(grpc_context))
        except Aborted:
            return pb.DetectResponse()

    async def DetectUpload(
        self, parts: AsyncIterator[pb.DetectUploadRequest], grpc_context: RayServegRPCContext
    ) -> pb.DetectResponse:
        try:
            return await self._detector.DetectUpload(parts, ServeContext(grpc_context))
        except Aborted:
            return pb.DetectResponse()

    async def DetectStream(
        self, requests: AsyncIterator[pb.DetectRequest], grpc_context: RayServegRPCContext
    ) -> AsyncIterator[pb.DetectStreamResponse]:
        async for answer in self._detector.DetectStream(requests, ServeContext(grpc_context)):
            yield answer

    async def GetModel(
        self, request: pb.GetModelRequest, grpc_context: RayServegRPCContext
    ) -> pb.GetModelResponse:
        return await self._detector.GetModel(request, ServeContext(grpc_context))

    def _engine_died(self) -> None:
        self._dead = True


def fitted_to_ray(settings: Settings) -> Settings:
    """The settings, with what Ray gave to this actor where they say "all cores".

    Without a port for metrics, which the next replica on the same machine could not open again.
    """
    given = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
    cores = max(1, int(given.get("CPU", 1)))
    update: dict[str, Any] = {"decode_workers": settings.decode_workers or cores, "metrics_port": None}
    if "GPU" not in given:
        update["engine_workers"] = settings.engine_workers or cores
    return settings.model_copy(update=update)
