"""Seconds from the start of the server's process until it is ready, with and without a cache of graphs."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.table import Table

from benchmarks.report.figures import figure
from benchmarks.serving import free_port

READY_SECONDS = 60.0
_LOOK_SECONDS = 0.02
# gRPC would wait for a second after a port that is not open yet.
_IMPATIENT = [
    (f"grpc.{name}_reconnect_backoff_ms", int(1000 * _LOOK_SECONDS)) for name in ("initial", "min", "max")
]

WITHOUT, FIRST, LATER = "without a cache", "first start, cache empty", "later starts"


def measure(model: Path, rounds: int, report: Callable[[str], None]) -> dict[str, list[float]]:
    """Starts a server of `.../<name>/<version>/model.onnx` in each way, by turns.

    Raises:
        RuntimeError: it was not ready in time.
    """
    seconds: dict[str, list[float]] = {WITHOUT: [], FIRST: [], LATER: []}
    for number in range(rounds):
        report(f"round {number + 1} of {rounds}")
        with tempfile.TemporaryDirectory() as cache:
            seconds[WITHOUT].append(_start(model, "--no-graph-cache"))
            for way in (FIRST, LATER):
                seconds[way].append(_start(model, "--graph-cache-dir", cache))
    return seconds


def rich_table(seconds: dict[str, list[float]]) -> Table:
    rounds = len(next(iter(seconds.values())))
    table = Table("start to SERVING", f"seconds, median of {rounds}")
    for way, samples in seconds.items():
        median = figure(samples)
        table.add_row(way, f"{median.median:.2f} ±{median.half_spread:.2f}")
    return table


def _start(model: Path, *flags: str) -> float:
    version, name, repository = model.resolve().parents[:3]
    port = str(free_port())
    command = [sys.executable, "-m", "server", "--port", port, "--models", str(repository)]
    command += ["--model", name.name, "--model-version", version.name, "--log-level", "warning", *flags]
    begun = time.perf_counter()
    with _process(command) as process, grpc.insecure_channel(f"127.0.0.1:{port}", _IMPATIENT) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.perf_counter() - begun < READY_SECONDS and process.poll() is None:
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
            except grpc.RpcError:
                time.sleep(_LOOK_SECONDS)
                continue
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return time.perf_counter() - begun
    raise RuntimeError("the server did not become ready; its message is above")


@contextmanager
def _process(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    # An installed package has its bytecode.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, env=environment)  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
