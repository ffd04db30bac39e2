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
    with ready_process(command, r"listening on (\S+)") as (server, found):
        yield server, found[1]


@contextmanager
def ready_process(
    command: Sequence[str], said: str
) -> Iterator[tuple["subprocess.Popen[str]", re.Match[str]]]:
    """Runs `command` with flags for tests until a line of its log matches; gives process and match."""
    arguments = [*command, "--profile", "test", "--log-level", "info"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stderr is not None
            found, log = None, []
            for line in process.stderr:
                log.append(line)
                if found := re.search(said, line):
                    break
            assert found, "".join(log)
            # Somebody must read what it logs, or it would block on a full pipe.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield process, found
        finally:
            process.kill()
