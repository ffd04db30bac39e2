"""A real server in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.processes import cpu_seconds, family, free_port

NO_CACHE = ("--cache-max-entries", "0")
"""The same few media come again and again, and are to be judged each time."""
READY_SECONDS = 120.0
_LOOK_SECONDS = 0.02
# gRPC would wait for a second after a port that is not open yet.
_IMPATIENT = [
    (f"grpc.{name}_reconnect_backoff_ms", int(1000 * _LOOK_SECONDS)) for name in ("initial", "min", "max")
]


class ServerProcess:
    """A server that is ready.

    Attributes:
        address: host:port.
    """

    def __init__(self, address: str, process: "subprocess.Popen[bytes]") -> None:
        self.address = address
        self._process = psutil.Process(process.pid)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def cpu_seconds(self) -> float:
        """Used so far, its decoders included."""
        return cpu_seconds(self._process)

    def memory_bytes(self) -> int:
        """Resident now, its decoders included.

        Raises:
            RuntimeError: the server died.
        """
        total = 0
        for member in family(self._process):
            with suppress(psutil.NoSuchProcess):  # a decoder that was replaced meanwhile
                total += int(member.memory_info().rss)
        if not total:
            raise RuntimeError("the server died; its message is above")
        return total


def command(port: int, *flags: str) -> list[str]:
    """What starts a server."""
    return [sys.executable, "-m", "server", "--port", str(port), "--log-level", "warning", *flags]


def of_model(model: Path) -> list[str]:
    """Flags that make it serve this very `.../<name>/<version>/model.onnx`."""
    version, name, repository = model.resolve().parents[:3]
    return ["--models", str(repository), "--model", name.name, "--model-version", version.name]


@contextmanager
def serving(*flags: str) -> Iterator[ServerProcess]:
    """Runs `python -m server` until the end of the context; with `--processes`, all are there at its begin.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    port = free_port()
    processes = int(flags[flags.index("--processes") + 1]) if "--processes" in flags else 1
    # An installed package has its bytecode.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command(port, *flags), env=environment)
    try:
        address = f"127.0.0.1:{port}"
        _wait_until_ready(address, process)
        _wait_until_listening(port, process, processes)
        yield ServerProcess(address, process)
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_ready(address: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.perf_counter() + READY_SECONDS
    with grpc.insecure_channel(address, _IMPATIENT) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.perf_counter() < end:
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError:
                if process.poll() is not None:
                    raise RuntimeError("the server ended at once; its message is above") from None
            time.sleep(_LOOK_SECONDS)
    raise RuntimeError(f"the server was not ready within {READY_SECONDS:g} s")


def _wait_until_listening(port: int, process: "subprocess.Popen[bytes]", processes: int) -> None:
    # The others start when the first one is ready, and do not get any of the connections made before.
    end = time.perf_counter() + READY_SECONDS
    while sum(_listens(member, port) for member in family(psutil.Process(process.pid))) < processes:
        if time.perf_counter() > end:
            raise RuntimeError(f"not all of {processes} servers were ready within {READY_SECONDS:g} s")
        time.sleep(_LOOK_SECONDS)


def _listens(process: psutil.Process, port: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        connections = process.net_connections("tcp")
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)
    return False
