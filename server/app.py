"""The composition root: builds the parts from the settings, serves, and drains."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from deepfake.v1 import detector_pb2, detector_pb2_grpc
from server.detect import plan
from server.detect.pipeline import Pipeline
from server.engine.engine import Engine
from server.engine.live import LiveEngine
from server.engine.providers import usable_cores
from server.engine.repository import find_model
from server.engine.session import Session
from server.errors import CannotListen, EngineFailed
from server.media.isolation import DecodePool
from server.rpc.detector import Detector
from server.settings import Settings
from server.sources.source import Sources

log = logging.getLogger(__name__)

# For answers that are on their way out when the last request is done.
_GOODBYE_SECONDS = 1.0
_DETECTOR = detector_pb2.DESCRIPTOR.services_by_name["Detector"].full_name


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator["Server"]:
    """A server that is ready; leaving the context drains it.

    Raises:
        ModelError, EngineFailed: there is no graph that can be served.
        CannotListen: the address cannot be bound.
    """
    server = Server(settings)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Raises EngineFailed if the engine died."""
    async with running(settings) as server:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.finished.set)
        await server.finished.wait()
        if server.dead:
            raise EngineFailed("the engine keeps failing; the log has the cause")


class Server:
    """All parts of one server.

    Attributes:
        address: host:port that is listened on, once started.
        finished: set when the server should stop.
        dead: whether that is because the engine failed.
    """

    def __init__(self, settings: Settings) -> None:
        self.address = ""
        self.finished = asyncio.Event()
        self.dead = False
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._live = LiveEngine(
            self._load(find_model(settings.models, settings.model, settings.model_version))
        )
        self._decoders = DecodePool(settings.decode_workers or usable_cores(), settings.media_limits)
        sources = Sources(
            settings.max_media_bytes, settings.file_roots, settings.s3_buckets, settings.s3_endpoint
        )
        self._pipeline = Pipeline(self._live, self._decoders, sources, settings.max_queue_size)
        self._health = health.aio.HealthServicer()
        self._grpc = self._listener(Detector(self._pipeline, self._live, settings))

    async def start(self) -> None:
        """Listens, then reports SERVING. Raises CannotListen if the address is taken."""
        wanted = f"{self._settings.host}:{self._settings.port}"
        try:
            port = self._grpc.add_insecure_port(wanted)
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {wanted}: {error}", "Choose another --port.") from error
        await self._grpc.start()
        self.address = f"{self._settings.host}:{port}"
        await self._report(health_pb2.HealthCheckResponse.SERVING)
        log.info("listening on %s", self.address)

    async def stop(self) -> None:
        """Reports NOT_SERVING, refuses what is new, finishes what was accepted."""
        log.info("draining for at most %s seconds", self._settings.drain_timeout_seconds)
        await self._report(health_pb2.HealthCheckResponse.NOT_SERVING)
        # Before gRPC stops: it would answer calls that arrive meanwhile with CANCELLED, which nobody
        # retries, where the pipeline says UNAVAILABLE.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._pipeline.drain(), self._settings.drain_timeout_seconds)
        await self._grpc.stop(_GOODBYE_SECONDS)
        await asyncio.to_thread(self._decoders.close)
        await asyncio.to_thread(self._live.close)
        log.info("stopped")

    def _load(self, graph: Path) -> Engine:
        """An engine that is ready to serve the graph. Raises ModelError, EngineFailed."""
        settings = self._settings
        session = Session(graph, settings.provider, settings.intra_op_threads)
        plan.check_spec(session.manifest)
        return Engine(
            session,
            settings.engine_workers,
            settings.max_batch_size,
            settings.max_batch_seconds,
            settings.max_queue_delay_microseconds / 1e6,
            self._engine_died,
        )

    def _listener(self, detector: Detector) -> grpc.aio.Server:
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._settings.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                # A second server on the same port would silently take half of the requests.
                ("grpc.so_reuseport", 0),
                # Clients may ping once a minute while they wait; by default that would cut them off.
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
            ]
        )
        detector_pb2_grpc.add_DetectorServicer_to_server(detector, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.reflection:
            names = (_DETECTOR, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        return server

    async def _report(self, status: "health_pb2.HealthCheckResponse.ServingStatus.ValueType") -> None:
        for service in ("", _DETECTOR):
            await self._health.set(service, status)

    def _engine_died(self) -> None:
        self.dead = True
        self._loop.call_soon_threadsafe(self.finished.set)
