"""The worker's composition root: builds the parts from the settings, works, and drains."""

import asyncio
import logging
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from server.aws import typed_errors
from server.backend import Backend
from server.command import at_stop
from server.errors import EngineFailed
from server.jobs.delivery import Delivery, ToPrefix, ToQueue, ToWebhook
from server.jobs.queue import Queue
from server.jobs.settings import JobSettings
from server.jobs.worker import Worker

log = logging.getLogger(__name__)

# For fetching messages, and for heartbeats beside the deliveries.
_MORE_THREADS = 8


async def work(settings: JobSettings) -> None:
    """Works until SIGTERM or SIGINT; SIGHUP looks for another version of the model.

    Raises:
        ModelError, EngineFailed: there is no graph that can be run, or the engine died.
        SourceError, InvalidRequest: the queue cannot be used.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(settings.max_jobs + _MORE_THREADS))
    died = asyncio.Event()

    def engine_died() -> None:
        loop.call_soon_threadsafe(died.set)

    def reload() -> None:
        backend.reloader.look_now()

    with typed_errors(settings.queue_url):
        sqs = settings.sqs.client("sqs", settings.sqs_endpoint)
    queue = await asyncio.to_thread(
        Queue, sqs, settings.queue_url, settings.dead_letter_queue_url, settings.visibility_timeout_seconds
    )
    # What comes while the graph is loaded is handled when the loop goes on.
    loop.add_signal_handler(signal.SIGHUP, reload)
    backend = Backend(settings, engine_died)
    try:
        worker = Worker(backend, queue, list(_deliveries(settings, sqs)), settings)
        at_stop(worker.stop)
        log.info("working on %s", settings.queue_url)
        working = asyncio.create_task(worker.run())
        dying = asyncio.create_task(died.wait())
        await asyncio.wait([working, dying], return_when=asyncio.FIRST_COMPLETED)
        if died.is_set():
            worker.stop()
            raise EngineFailed("the engine keeps failing; the log has the cause")
        await working
    finally:
        await backend.close()
        log.info("stopped")


def _deliveries(settings: JobSettings, sqs: Any) -> Iterator[Delivery]:
    if settings.result_prefix:
        yield ToPrefix(settings.aws.client("s3", settings.s3_endpoint), settings.result_prefix)
    if settings.result_queue_url:
        yield ToQueue(sqs, settings.result_queue_url)
    if settings.webhook_url:
        timeout, attempts = settings.webhook_timeout_seconds, settings.webhook_max_attempts
        yield ToWebhook(
            settings.webhook_url, lambda: settings.signature_key, timeout, attempts, settings.max_jobs
        )
