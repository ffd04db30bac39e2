"""Load test with locust: photos, videos and sound mixed, against a running server.

    locust -f benchmarks/load.py --host localhost:50051
    locust -f benchmarks/load.py --host localhost:50051 --headless --users 32 --run-time 1m

Every user sends one file, waits for the answer and sends the next. Latencies and failures are
counted by kind of medium; an answer without a verdict is a failure. Nothing is tried again, so
that what the server refuses shows.

The server remembers verdicts on files that it has judged before. To measure how fast it judges rather than
how fast it remembers, start it with `--cache-max-entries 0`.
"""

# gRPC blocks in its own threads unless it is told of gevent before its first channel.
# ruff: noqa: E402
from grpc.experimental import gevent as grpc_gevent

grpc_gevent.init_gevent()

import random
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, ClassVar

import gevent  # type: ignore[import-untyped]
from locust import User, constant, events, task
from locust.env import Environment

from benchmarks.material.media import SHARES, Media, generated_media, media_in
from clients import DetectionError, Detector
from deepfake.v1 import detector_pb2 as pb

VERDICTS = {pb.VERDICT_REAL, pb.VERDICT_FAKE, pb.VERDICT_INCONCLUSIVE}


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: ArgumentParser) -> None:
    """Options of this load test, for the command line and the web page."""
    parser.add_argument("--media-folder", default="", help="Send the media in it. Default: generated ones.")
    parser.add_argument("--request-timeout", type=float, default=60.0, help="Seconds for one medium.")
    for kind, share in SHARES.items():
        parser.add_argument(f"--{kind}-share", type=int, default=share, help=f"How often to send {kind}.")


@events.init.add_listener  # type: ignore[untyped-decorator]
def load_media(environment: Environment, **_: Any) -> None:
    """Before the first user, so that making them is not on the clock."""
    options: Any = environment.parsed_options
    folder = options.media_folder
    DetectorUser.media = media_in(Path(folder)) if folder else generated_media()
    # gevent's clock stood still meanwhile, and --run-time would be counted from before.
    gevent.get_hub().loop.update_now()


class VerdictMissing(Exception):
    """The server answered, but without a verdict."""


class DetectorUser(User):
    """One caller in a closed loop."""

    host = "localhost:50051"
    wait_time = constant(0)
    media: ClassVar[Media] = {}

    def on_start(self) -> None:
        options: Any = self.environment.parsed_options
        self._detector = Detector(self.host, timeout=options.request_timeout, retries=0)
        shares = {kind: getattr(options, f"{kind}_share") for kind, files in self.media.items() if files}
        self._kinds, self._shares = list(shares), list(shares.values())

    def on_stop(self) -> None:
        self._detector.close()

    @task
    def detect(self) -> None:
        kind = random.choices(self._kinds, self._shares)[0]
        content = random.choice(self.media[kind])
        problem: Exception | None = None
        size = 0
        start = time.perf_counter()
        try:
            answer = self._detector.detect(content)
            size = answer.ByteSize()
            problem = None if answer.verdict in VERDICTS else VerdictMissing(str(answer.verdict))
        except DetectionError as error:
            problem = error
        # Not by `measure`, for which what the end of the test cuts short is an answer.
        self.environment.events.request.fire(
            request_type="Detect",
            name=kind,
            response_time=1000 * (time.perf_counter() - start),
            response_length=size,
            exception=problem,
            context={},
        )
