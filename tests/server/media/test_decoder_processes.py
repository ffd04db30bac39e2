"""Decoders as processes: how they start, and that they end with what started them."""

import json
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from server.media.limits import MediaLimits
from tests.server_process import alive
from tests.waiting import until


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux caps the address space")
def test_decoders_start_below_the_limits_of_whoever_starts_them() -> None:
    program = (
        "import resource\n"
        "from contextlib import closing\n"
        "from server.media.isolation import DecodePool\n"
        "from server.media.limits import MediaLimits\n"
        "from server.media.types import RowSpec\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**26, 2**26))\n"
        "with closing(DecodePool(1, MediaLimits(), 'tests.server.media.faults:decode')) as pool:\n"
        "    print(pool.submit(b'fine', RowSpec(), None).result(60).facts.size_bytes)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout == "4\n", done.stderr


def test_a_decoder_whose_pool_is_closed_while_it_starts_ends_without_a_word() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    limits, channel = json.dumps(asdict(MediaLimits())), theirs.fileno()
    command = f"{sys.executable} -m server.media.worker server.media.decode:decode".split()
    with (
        theirs,
        subprocess.Popen(
            [*command, limits, str(channel)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[channel],
            text=True,
        ) as decoder,
    ):
        assert decoder.stderr is not None
        assert decoder.stderr.read() == ""


def test_the_process_with_the_pool_never_loads_ffmpeg() -> None:
    code = "import sys, server.media.isolation, server.media.raw; print('av' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout == b"False\n"


OWNER = """
import os, sys
from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.types import RowSpec
pool = DecodePool(1, MediaLimits(), "tests.server.media.faults:decode")
pool.submit(b"wait " + os.fsencode(sys.argv[1]), RowSpec(), None)
sys.stdin.read()
"""


def test_processes_die_with_the_one_that_made_the_pool(tmp_path: Path) -> None:
    # A script without `if __name__ == "__main__"`, which multiprocessing would run again.
    command = [sys.executable, "-c", OWNER, str(tmp_path / "gate")]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE)
    until(lambda: list(tmp_path.iterdir()))
    (busy,) = tmp_path.iterdir()
    worker = int(busy.suffix[1:])
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    until(lambda: not alive(worker))
