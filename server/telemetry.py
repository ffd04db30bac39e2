"""A record of each request, whichever service it came to, for metrics, traces and the access log."""

import asyncio
import itertools
import math
import secrets
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from server import logs
from server.detect.request import Detection, Stopwatch
from server.errors import DeadlineExceeded, DetectorError, EngineFailed
from server.urgency import has_passed

OK, FAILED, CANCELLED = "OK", "FAILED", "CANCELLED"

Metadata = Sequence[tuple[str, str | bytes]]
Observer = Callable[["Record"], None]

# Characters that are kept of an id or a message, in which a caller may have put anything.
_LONGEST = 1000

_PROCESS = secrets.token_hex(4)
_NUMBERS = itertools.count(1)


class Telemetry:
    """Opens a record for each request.

    Args:
        observers: called with each record that is complete.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = observers

    def request(self, method: str, request_id: str = "", metadata: Metadata = ()) -> "Record":
        """A context that lasts as long as the request.

            with telemetry.request("Detect", request.id, context.invocation_metadata()) as record:
                record.answered(await pipeline.detect(request, record.timing))

        An exception that leaves it is the request's failure, and goes on.

        Args:
            method: of the service.
            request_id: the caller's; else the metadata's x-request-id, else one is made up.
            metadata: of the call.
        """
        return Record(method, request_id, metadata, self._observers)


class Record:
    """One request.

    Attributes:
        method: of the service.
        metadata: of the call.
        timing: what the pipeline measured.
        outcome: a verdict, OK where the method has none, FAILED or CANCELLED.
        detection: the answer, if there is one.
        reason, message: stable code and text of the error, if there is one.
        deadline: time.monotonic() by which the caller wants the answer, once it is known.
        start: time.perf_counter() of arrival.
        seconds: from arrival to answer.
    """

    __slots__ = (
        *("deadline", "detection", "message", "metadata", "method", "outcome"),
        *("reason", "seconds", "start", "timing", "_observers"),
    )

    def __init__(
        self, method: str, request_id: str, metadata: Metadata, observers: Sequence[Observer]
    ) -> None:
        self.method = method
        self.metadata = metadata
        self.timing = Stopwatch()
        self.outcome = OK
        self.detection: Detection | None = None
        self.reason = self.message = ""
        self.deadline = math.inf
        self.seconds = 0.0
        self.start = time.perf_counter()
        self._observers = observers
        # Never reset: what its task logs after the record ended is still about this request.
        self.identify(request_id or _sent_id(metadata) or f"{_PROCESS}-{next(_NUMBERS):x}")

    def identify(self, request_id: str) -> None:
        """Gives the request its id, where that arrives later than the request."""
        if request_id:
            logs.request_id.set(request_id[:_LONGEST])

    def answered(self, detection: Detection) -> None:
        """Notes the answer."""
        self.detection = detection
        self.outcome = detection.verdict

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self.start
        if isinstance(error, asyncio.CancelledError):
            # gRPC cancels a call whose deadline passed like one that its caller gave up.
            late = has_passed(self.deadline)
            self.outcome, self.reason = (FAILED, DeadlineExceeded.code) if late else (CANCELLED, "")
        elif error is not None:
            self.outcome = FAILED
            self.reason = error.code if isinstance(error, DetectorError) else EngineFailed.code
            self.message = str(error)[:_LONGEST]
        for observer in self._observers:
            observer(self)


def _sent_id(metadata: Metadata) -> str:
    return next((str(value) for key, value in metadata if key == "x-request-id"), "")
