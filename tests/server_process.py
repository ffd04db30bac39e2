"""A real server in a process of its own."""

import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]


def alive(pid: int) -> bool:
    """False for a process that is gone, or that ended and nobody has asked how."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def server_process(command: Sequence[str]) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Runs `command` with flags for tests until it listens; gives the process and its address."""
    arguments = [*command, "--profile", "test", "--log-level", "info"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stderr is not None
            found = next(
                filter(None, (re.search(r"listening on (\S+)", line) for line in server.stderr)), None
            )
            assert found, "the server did not start"
            # Somebody must read what it logs, or it would block on a full pipe.
            threading.Thread(target=server.stderr.read, daemon=True).start()
            yield server, found[1]
        finally:
            server.kill()
