"""What is told of each request, through whichever door it came."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from server.detect.request import Stopwatch
from server.errors import DetectorError, EngineFailed

FAILED, CANCELLED = "FAILED", "CANCELLED"


class Telemetry:
    """Opens a record for each request.

    Args:
        observers: called with each record that is complete.
    """

    def __init__(self, *observers: "Callable[[Record], None]") -> None:
        self._observers = observers

    def request(self, method: str) -> "Record":
        """A context that lasts as long as the request.

            with telemetry.request("Detect") as record:
                detection = await pipeline.detect(request, record.timing)
                record.outcome = detection.verdict

        An exception that leaves it is the request's failure, and goes on.
        """
        return Record(method, self)

    def ended(self, record: "Record") -> None:
        for observer in self._observers:
            observer(record)


class Record:
    """One request.

    Attributes:
        method: of the service.
        outcome: a verdict, OK where the method has none, FAILED or CANCELLED.
        reason: stable code of the error, if it failed.
        timing: what the pipeline measured.
        seconds: from arrival to answer.
    """

    __slots__ = ("_start", "_telemetry", "method", "outcome", "reason", "seconds", "timing")

    def __init__(self, method: str, telemetry: Telemetry) -> None:
        self.method = method
        self.outcome = "OK"
        self.reason = ""
        self.timing = Stopwatch()
        self.seconds = 0.0
        self._telemetry = telemetry
        self._start = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._start
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self.outcome = CANCELLED
        elif error is not None:
            self.outcome = FAILED
            self.reason = error.code if isinstance(error, DetectorError) else EngineFailed.code
        self._telemetry.ended(self)
