"""The composition root: puts the backend behind a gRPC listener, serves, and drains."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from deepfake.v1 import detector_pb2, detector_pb2_grpc
from open_inference.v2 import inference_pb2, inference_pb2_grpc
from server.backend import Backend
from server.command import at_stop
from server.errors import EngineFailed
from server.rpc import reflection
from server.rpc.authentication import Authentication
from server.rpc.detector import Detector
from server.rpc.health import Health
from server.rpc.listener import bind, listener
from server.rpc.messages import CheckedMethods
from server.rpc.open_inference.service import OpenInference
from server.rpc.tokens import Tokens
from server.settings import Settings

log = logging.getLogger(__name__)

# For answers that are on their way out when the last request is done.
_GOODBYE_SECONDS = 1.0


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator["Server"]:
    """A server that is ready; leaving the context drains it.

    Raises:
        ModelError, EngineFailed: there is no graph that can be served.
        CannotListen, InvalidCredentials: the address, or TLS on it, is not to be had.
    """
    server = Server(settings)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


async def serve(settings: Settings, ready: Callable[[], None] = lambda: None) -> None:
    """Serves until SIGTERM or SIGINT; SIGHUP looks for another version of the model.

    Args:
        ready: called once it listens.

    Raises:
        EngineFailed: the engine died.
    """
    # What the imports made stays: collecting garbage among it would stop every request for about 30 ms.
    gc.freeze()
    loop = asyncio.get_running_loop()
    # SIGHUP may come while the graph is loaded, when the versions have been listed already.
    early = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, early.set)
    async with running(settings) as server:
        at_stop(server.finished.set)
        loop.add_signal_handler(signal.SIGHUP, server.reload)
        if early.is_set():
            server.reload()
        ready()
        await server.finished.wait()
        if server.dead:
            raise EngineFailed("the engine is dead; the log has the cause")


class Server:
    """All parts of one server.

    Attributes:
        address: host:port that is listened on, once started.
        finished: set when the server should stop.
        dead: whether it should stop because the engine failed.
        metrics_port: where Prometheus scrapes; None if it is off.
    """

    def __init__(self, settings: Settings) -> None:
        self.address = ""
        self.finished = asyncio.Event()
        self.dead = False
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        tokens = Tokens(settings.tokens) if settings.tokens else None
        self._backend = Backend(settings, self._engine_died)
        self.metrics_port = self._backend.metrics_port
        self._protocols = [detector_pb2.DESCRIPTOR]
        if settings.open_inference:
            self._protocols.append(inference_pb2.DESCRIPTOR)
        self._health = Health()
        self._grpc = self._listener(tokens)

    async def start(self) -> None:
        """Listens, then reports SERVING. Raises CannotListen, InvalidCredentials."""
        self.address = bind(self._grpc, self._settings)
        # For Ctrl-C that came while the graph was loaded: gRPC cannot stop what it began to start.
        await asyncio.sleep(0)
        await self._grpc.start()
        await self._report(health_pb2.HealthCheckResponse.SERVING)
        log.info("listening on %s", self.address)

    def reload(self) -> None:
        """Looks for another version of the model at once; returns before that is done."""
        self._backend.reloader.look_now()

    async def stop(self) -> None:
        """Reports NOT_SERVING, refuses what is new, finishes what was accepted."""
        await self._report(health_pb2.HealthCheckResponse.NOT_SERVING)
        # Before gRPC stops: it would answer calls that arrive meanwhile with CANCELLED, which only our
        # clients retry, where the pipeline says UNAVAILABLE.
        await self._backend.drain()
        await self._grpc.stop(_GOODBYE_SECONDS)
        await self._backend.close()
        log.info("stopped")

    def _listener(self, tokens: Tokens | None) -> grpc.aio.Server:
        backend, settings, telemetry = self._backend, self._settings, self._backend.telemetry
        server = listener(settings, [Authentication(tokens, settings, telemetry)] if tokens else [])
        described = [*self._protocols, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
        methods: Any = CheckedMethods(server, described, telemetry, settings)
        detector = Detector(backend.pipeline, backend.reloader, telemetry, settings)
        detector_pb2_grpc.add_DetectorServicer_to_server(detector, methods)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods)
        if settings.open_inference:
            inference = OpenInference(backend.pipeline, backend.live, telemetry, settings)
            inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(inference, methods)
        if settings.reflection:
            # Statuses in answers of streams hold its messages, which no field names.
            reflected = reflection.servicer([*described, error_details_pb2.DESCRIPTOR])
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflected, methods)
        return server

    async def _report(self, status: "health_pb2.HealthCheckResponse.ServingStatus.ValueType") -> None:
        services = [service for file in self._protocols for service in file.services_by_name.values()]
        for name in ("", *(service.full_name for service in services)):
            await self._health.set(name, status)

    def _engine_died(self) -> None:
        self.dead = True
        self._loop.call_soon_threadsafe(self.finished.set)
