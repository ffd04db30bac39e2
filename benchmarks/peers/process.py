"""A server and all its processes: started, measured, held, ended."""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import psutil

from benchmarks.peers.catalogue import Peer
from benchmarks.peers.codecs import CODECS, Codec
from benchmarks.peers.launch import Launch
from benchmarks.processes import cpu_seconds, family

READY_SECONDS = 120.0
_ROOT = Path(__file__).parents[2]
_LAST_LINES = 6
_END_SECONDS = 5.0


class NotStarted(Exception):
    """A server that cannot be measured; the message says why."""


class PeerProcess:
    """A server that has answered once.

    Attributes:
        peer: which one.
        port: that it listens on.
        startup: seconds from its start to its first answer.
    """

    def __init__(self, peer: Peer, port: int, process: "subprocess.Popen[bytes]", startup: float) -> None:
        self.peer, self.port, self.startup = peer, port, startup
        self._popen = process
        self._process = psutil.Process(process.pid)

    @property
    def death(self) -> str:
        """How it ended under load; empty while it lives."""
        code = self._popen.poll()
        if code is None:
            return ""
        return f"died under load: {f'signal {-code}' if code < 0 else f'exit status {code}'}"

    def cpu_seconds(self) -> float:
        """Used so far by all its processes."""
        return cpu_seconds(self._process)

    def memory_bytes(self) -> int:
        """Of all its processes; what several share counts once (on Linux)."""
        total = 0
        for member in family(self._process):
            with suppress(psutil.NoSuchProcess):
                memory = member.memory_full_info()
                total += int(getattr(memory, "pss", memory.uss))
        return total

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Lets it run until the context ends; outside it is held, so that it takes nothing from others."""
        _send(family(self._process), signal.SIGCONT)
        try:
            yield
        finally:
            self.hold()

    def hold(self) -> None:
        _send(family(self._process), signal.SIGSTOP)


@contextmanager
def running(peer: Peer, launch: Launch, message: bytes) -> Iterator[PeerProcess]:
    """Starts the server, and ends it with the context.

    Args:
        launch: whose port is free and whose folder exists.
        message: a request, encoded for it.

    Raises:
        NotStarted: it is not installed, ended, or did not answer in time.
    """
    if reason := peer.missing():
        raise NotStarted(reason)
    folder = Path(launch.folder)
    file = folder / "launch.json"
    launch.write(file)
    log = folder / "log.txt"
    path = os.pathsep.join([str(_ROOT), str(_ROOT / "proto" / "gen")])
    # One thread a run is what everybody gets; libraries must not start others beside it.
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    begun = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            peer.command(launch, file), stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        _await_answer(process, CODECS[peer.codec], launch.port, message, log)
        yield PeerProcess(peer, launch.port, process, time.perf_counter() - begun)
    finally:
        _end(process)


def _await_answer(
    process: "subprocess.Popen[bytes]", codec: Codec, port: int, message: bytes, log: Path
) -> None:
    ask = _ask_grpc if codec.protocol == "grpc" else _ask_http
    end = time.perf_counter() + READY_SECONDS
    trouble = ""
    while time.perf_counter() < end:
        trouble = ask(codec, port, message)
        if not trouble:
            return
        if process.poll() is not None:
            raise NotStarted(f"ended at once: {_last_lines(log)}")
        time.sleep(0.02)
    raise NotStarted(f"no answer within {READY_SECONDS:g} s: {trouble}; {_last_lines(log)}")


def _ask_grpc(codec: Codec, port: int, message: bytes) -> str:
    """What was wrong; empty if nothing."""
    # A channel that has failed waits longer and longer before it tries again.
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(codec.path)
        try:
            codec.decode(call(message, timeout=READY_SECONDS))
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    return ""


def _ask_http(codec: Codec, port: int, message: bytes) -> str:
    """What was wrong; empty if nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
    try:
        connection.request("POST", codec.path, message, {"Content-Type": codec.content_type})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            return f"HTTP {answer.status}: {body[:200]!r}"
        codec.decode(body)
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    return ""


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(lines[-_LAST_LINES:])


def _end(process: "subprocess.Popen[bytes]") -> None:
    members: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        members = family(psutil.Process(process.pid))
    _send(members, signal.SIGCONT)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    _send(members, signal.SIGKILL)
    process.wait()


def _send(members: Sequence[psutil.Process], number: signal.Signals) -> None:
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.send_signal(number)
