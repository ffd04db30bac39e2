"""A real server in a process of its own."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

READY_SECONDS = 120.0


class ServerProcess:
    """A server that is ready.

    Attributes:
        address: host:port.
    """

    def __init__(self, address: str, process: "subprocess.Popen[bytes]") -> None:
        self.address = address
        self._process = psutil.Process(process.pid)

    def cpu_seconds(self) -> float:
        """Used so far, its decoders included."""
        family = [self._process, *self._process.children(recursive=True)]
        return sum(sum(member.cpu_times()[:2]) for member in family)

    def memory_bytes(self) -> int:
        """Resident now, its decoders included.

        Raises:
            RuntimeError: the server died.
        """
        total = 0
        try:
            total += int(self._process.memory_info().rss)
        except psutil.NoSuchProcess as error:
            raise RuntimeError("the server died; its message is above") from error
        for member in self._process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # a decoder that was replaced meanwhile
                total += int(member.memory_info().rss)
        return total


@contextmanager
def serving(models: Path, *flags: str) -> Iterator[ServerProcess]:
    """Runs `python -m server` on the models until the end of the context.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    address = f"127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "server", "--port", port, "--models", str(models), *flags]
    process = subprocess.Popen([*command, "--log-level", "warning"])  # noqa: S603
    try:
        _wait_until_ready(address, process)
        yield ServerProcess(address, process)
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_ready(address: str, process: "subprocess.Popen[bytes]") -> None:
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for _ in range(round(READY_SECONDS / 0.5)):
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=0.5, wait_for_ready=True)
            except grpc.RpcError:
                if process.poll() is not None:
                    raise RuntimeError("the server ended at once; its message is above") from None
                continue
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
    raise RuntimeError(f"the server was not ready within {READY_SECONDS:g} s")


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
