"""All that answers requests, built from the settings; what lets requests in is left to others."""

import asyncio
import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from server.access_log import access_log
from server.detect import contents, plan
from server.detect.cache import VerdictCache
from server.detect.media_bytes import MediaBytes
from server.detect.pipeline import Pipeline
from server.engine.cores import usable_cores
from server.engine.engine import Engine
from server.engine.graph_cache import GraphCache, default_folder
from server.engine.layout import Layout, divide_cores
from server.engine.precision import open_session
from server.engine.reload import Reloader
from server.engine.repository import Repository
from server.engine.selftest import self_test
from server.engine.session import Session
from server.errors import missing_package
from server.media.isolation import DecodePool
from server.settings import Settings
from server.sources.files import Files
from server.sources.https import Https
from server.sources.s3 import S3
from server.sources.source import Source, Sources
from server.telemetry import Telemetry

if TYPE_CHECKING:
    from server.metrics import Metrics
    from server.tracing import Tracing

log = logging.getLogger(__name__)

# For a version that is being loaded when the server stops, which may take minutes and serve nobody.
_LOADING_SECONDS = 5.0


class Backend:
    """Engine, decoders, sources, and the pipeline that joins them; for use on one event loop.

    Args:
        settings: of which those about the network are left to others.
        on_death: called once, from another thread, when the engine is dead.

    Attributes:
        telemetry: for those who let requests in, to record them.
        pipeline: answers requests.
        reloader, live: the versions of the model, and the engine that answers now.
        metrics_port: where Prometheus scrapes; None if it is off.

    Raises:
        ModelError, EngineFailed: there is no graph that can be served.
        CannotListen: the port for metrics is taken.
        MissingPackage: a setting needs an extra that is not installed.
    """

    def __init__(self, settings: Settings, on_death: Callable[[], None]) -> None:
        self._settings = settings
        self._on_death = on_death
        # What the settings may be wrong about comes before all that would have to be ended again.
        decoder = _decoder(settings)
        self._sources = _sources(settings)
        repository = Repository(settings.models, settings.model, settings.model_version)
        self._tracing = _tracing(settings)
        self._metrics = _metrics(settings)
        self.metrics_port = self._metrics.port if self._metrics else None
        observers = (
            self._metrics and self._metrics.request,
            self._tracing and self._tracing.request,
            access_log(settings.access_log),
        )
        self.telemetry = Telemetry([observer for observer in observers if observer])
        self._graphs = _graph_cache(settings)
        self._layout: Layout | None = None
        # The decoders' processes start while the graph is being loaded.
        workers = settings.decode_workers or settings.cores or usable_cores()
        self._decoders = DecodePool(workers, settings.media_limits, decoder)
        try:
            self.reloader = Reloader(repository, self._load)
        except BaseException:
            self._decoders.close()
            raise
        self.live = self.reloader.live
        self._reloading = asyncio.create_task(self.reloader.run(settings.model_poll_seconds))
        self.pipeline = Pipeline(
            self.live,
            self._decoders,
            self._sources,
            settings.max_queue_size,
            MediaBytes(settings.max_queue_bytes, settings.max_queue_bytes_per_token),
            VerdictCache(settings.cache_max_bytes, settings.cache_max_entries, settings.cache_seconds),
            _sampling_key(settings),
        )
        if self._metrics:
            self._metrics.watch(self.reloader, self.pipeline, self._decoders)

    def count_message(self, outcome: str) -> None:
        """Counts a message of a queue, where metrics are wanted."""
        if self._metrics:
            self._metrics.message(outcome)

    async def drain(self) -> None:
        """Refuses what is new, and finishes what was accepted as far as there is time."""
        log.info("draining for at most %s seconds", self._settings.drain_timeout_seconds)
        try:
            # Not wait_for, which would not even begin with a time-out of 0.
            async with asyncio.timeout(self._settings.drain_timeout_seconds):
                await self.pipeline.admission.drain()
        except TimeoutError:
            log.warning("requests that are given up: %d", self.pipeline.admission.in_flight)

    async def close(self) -> None:
        """Ends the decoders, the engine, the metrics and the traces."""
        self.reloader.stop()
        await asyncio.wait([self._reloading], timeout=_LOADING_SECONDS)
        self._sources.close()
        await asyncio.to_thread(self._decoders.close)
        await asyncio.to_thread(self.live.close)
        if self._metrics:
            await asyncio.to_thread(self._metrics.close)
        if self._tracing:
            await asyncio.to_thread(self._tracing.close)

    def _load(self, graph: Path) -> Engine:
        """An engine that is ready to serve the graph. Raises ModelError, EngineFailed."""
        settings = self._settings
        threads, delay = settings.intra_op_threads, settings.max_queue_delay_microseconds
        session = open_session(
            graph,
            settings.precision,
            settings.provider,
            lambda file: Session(file, settings.provider, threads or 1, self._graphs),
        )
        plan.check_spec(session.manifest)
        session.prepare()
        self_test(session)
        self._layout = layout = divide_cores(
            session, settings.engine_workers, threads, self._layout, settings.cores
        )
        return Engine(
            layout.session,
            layout.workers,
            max_batch_size=settings.max_batch_size,
            max_batch_seconds=settings.max_batch_seconds,
            max_queue_delay=None if delay is None else delay / 1e6,
            run_timeout=settings.engine_timeout_seconds,
            on_death=self._on_death,
            on_batch=self._metrics.batch if self._metrics else None,
            lone=layout.lone,
        )


def _graph_cache(settings: Settings) -> GraphCache | None:
    folder = settings.graph_cache_dir or default_folder()
    return GraphCache(folder) if settings.graph_cache and folder else None


def _sampling_key(settings: Settings) -> bytes | None:
    secret = settings.sampling_secret
    return contents.sampling_key(secret.get_secret_value()) if secret else None


def _decoder(settings: Settings) -> str:
    """The function that decodes media, as the pool wants it told."""
    if not settings.jpeg_reduced_decoding:
        return "server.media.decode:decode"
    if find_spec("simplejpeg") is None:
        raise missing_package("jpeg_reduced_decoding is set, but there is no simplejpeg", "reduced-jpeg")
    return "server.media.decode:decode_reduced"


def _metrics(settings: Settings) -> "Metrics | None":
    if settings.metrics_port is None:
        return None
    # Here, because it takes 60 ms to load.
    from server.metrics import Metrics

    return Metrics(settings.host, settings.metrics_port)


def _tracing(settings: Settings) -> "Tracing | None":
    if settings.otlp_endpoint is None:
        return None
    try:
        from server.tracing import Tracing
    except ModuleNotFoundError as error:
        raise missing_package(f"otlp_endpoint is set, but there is no {error.name}", "tracing") from error
    return Tracing(settings.otlp_endpoint, settings.trace_sample_ratio)


def _sources(settings: Settings) -> Sources:
    schemes: dict[str, Source] = {
        "file": Files(settings.file_roots),
        "https": Https(settings.https_hosts, settings.https_timeout_seconds),
        "s3": S3(settings.s3_buckets, settings.aws, settings.s3_endpoint),
    }
    return Sources(settings.max_media_bytes, settings.fetch_workers, schemes, settings.max_fetches_per_host)
