"""Several servers on one port, because a Python process answers on one core: started, watched, stopped.

The system spreads connections over all that listen (SO_REUSEPORT). This process answers nothing itself. As a
program of its own (`python -m server.processes`) it is one of the servers: settings come on the first line
of standard input, whose end means that nobody watches any more, and a line goes out when it listens.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr
from pydantic_core import to_json

from server import command
from server.engine.cores import usable_cores
from server.errors import CannotListen, EngineFailed
from server.settings import Settings

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_CONNECTION_AGE_SECONDS = 300.0
# Beyond the time that a server has for draining.
_END_SECONDS = 15.0


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT; SIGHUP reaches every server. One that ends is started again.

    Raises:
        CannotListen: the address is not to be had.
        EngineFailed: a server ended before it ever listened; its own message is in the log.
    """
    finished = asyncio.Event()
    loop = asyncio.get_running_loop()
    command.at_stop(finished.set)
    with _reserved_port(settings) as port:
        servers = [_Server(number, share) for number, share in enumerate(_shares(settings, port))]
        loop.add_signal_handler(signal.SIGHUP, _reload, servers)
        stopping = asyncio.create_task(finished.wait())
        ready = asyncio.create_task(servers[0].ready.wait())
        keeping = [asyncio.create_task(servers[0].keep_running())]
        try:
            await asyncio.wait([stopping, ready, *keeping], return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                # Not earlier: they would disturb the measurements of the first one, which they use.
                keeping += [asyncio.create_task(server.keep_running()) for server in servers[1:]]
                log.info("one of %d servers is ready", len(servers))
            await asyncio.wait([stopping, *keeping], return_when=asyncio.FIRST_COMPLETED)
            for ended in filter(asyncio.Task.done, keeping):
                ended.result()
        finally:
            for task in (stopping, ready, *keeping):
                task.cancel()
            await asyncio.gather(*(server.stop() for server in servers))


def _reload(servers: list["_Server"]) -> None:
    for server in servers:
        server.reload()


class _Server:
    """One of them.

    Args:
        number: counted from 0, as its metrics' port and folder of logs are.
        settings: of it alone.

    Attributes:
        ready: set when it has listened once.
    """

    def __init__(self, number: int, settings: Settings) -> None:
        self.ready = asyncio.Event()
        self._number = number
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._listens = self._reload_owed = False

    async def keep_running(self) -> None:
        """Starts it, and again whenever it ends. Raises EngineFailed if it ends before it is ready at all."""
        while True:
            status = await self._run()
            if not self.ready.is_set():
                raise EngineFailed(f"server {self._number} ended with status {status} before it listened")
            log.error("server %d ended with status %d and is started again", self._number, status)
            await asyncio.sleep(_PAUSE_SECONDS)

    def reload(self) -> None:
        """Once it listens: before, the signal would end it."""
        if self._listens:
            self._send(signal.SIGHUP)
        else:
            self._reload_owed = True

    async def stop(self) -> None:
        """Lets it finish what it accepted."""
        self._send(signal.SIGTERM)
        if self._process:
            try:
                await asyncio.wait_for(
                    self._process.wait(), self._settings.drain_timeout_seconds + _END_SECONDS
                )
            except TimeoutError:
                self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        """Does nothing if it does not run."""
        if self._process and self._process.returncode is None:
            self._process.send_signal(number)

    async def _run(self) -> int:
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.processes"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the one that watches, which lets them drain
        )
        if process.stdin and process.stdout:  # as was asked for
            process.stdin.write(_settings_line(self._settings))
            async for _ in process.stdout:
                self.ready.set()
                self._listens = True
                if self._reload_owed:
                    self._reload_owed = False
                    self._send(signal.SIGHUP)
            self._listens = False
        return await process.wait()


def _settings_line(settings: Settings) -> bytes:
    """The line of a server's settings, with the secrets that pydantic would make stars of."""
    secrets = {name: value.get_secret_value() for name, value in settings if isinstance(value, SecretStr)}
    return to_json(settings.model_dump() | secrets) + b"\n"


def _shares(settings: Settings, port: int) -> Iterator[Settings]:
    """The settings of each server: its share of what there is."""
    count, first = settings.processes, settings.metrics_port
    cores = settings.cores or usable_cores()
    age = settings.max_connection_age_seconds
    for number in range(count):
        yield settings.model_copy(
            update={
                "processes": 1,
                "config": None,  # it was read, and may be another by the time that a server is started again
                "port": port,
                "shared_port": True,
                "cores": max(1, cores // count),
                # Else a server that was started later than the clients would never get their connections.
                "max_connection_age_seconds": _CONNECTION_AGE_SECONDS if age is None else age,
                "metrics_port": first + number if first else first,
                "log_dir": settings.log_dir and settings.log_dir / str(number),
            }
        )


@contextmanager
def _reserved_port(settings: Settings) -> Iterator[int]:
    """A port that the servers can share and, unless that is wanted, nobody else listens on."""
    if sys.platform != "linux":
        raise CannotListen("servers can share a port on Linux only", "Use --processes 1.")
    try:
        holder = _bound(settings)
    except OSError as error:
        raise CannotListen(f"cannot listen on {settings.host}:{settings.port}: {error}") from error
    with holder:
        yield int(holder.getsockname()[1])


def _bound(settings: Settings) -> socket.socket:
    family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    if not settings.shared_port:
        with socket.create_server(address[:2], family=family) as alone:
            address = alone.getsockname()
    holder = socket.socket(family)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(address)
    return holder


async def _serve_until_left_alone(settings: Settings) -> None:
    from server import app

    loop, watcher = asyncio.get_running_loop(), sys.stdin.fileno()

    def left_alone() -> None:
        if not os.read(watcher, 1):
            # Else the loop would read the end again and again until the last request is finished.
            loop.remove_reader(watcher)
            # Ends at once what drains already: nobody waits for that any more.
            os.kill(os.getpid(), signal.SIGINT)

    loop.add_reader(watcher, left_alone)
    await app.serve(settings, lambda: print("ready", flush=True))


if __name__ == "__main__":
    told = Settings.model_validate_json(sys.stdin.readline())
    sys.exit(command.start(told, "python -m server", _serve_until_left_alone))
