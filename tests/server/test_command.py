"""How a process of ours ends, whatever it serves."""

import json
import shutil
import subprocess
import sys
import textwrap

import pytest

from tests.server_process import ROOT

CONTAINER = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


def ended(serve: str, *before: str) -> "subprocess.CompletedProcess[str]":
    """A process that serves by these lines, after it has ended."""
    program = f"""
import asyncio, os, signal, time
from server import command
from server.settings import Settings

async def serve(_):
{textwrap.indent(textwrap.dedent(serve), "    ")}

# Whoever started the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
command.start(Settings(log_format="json"), "python -m server", serve)
"""
    arguments = [*before, sys.executable, "-c", program]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT, timeout=30)


def can_contain() -> bool:
    if not shutil.which(CONTAINER[0]):
        return False
    return not subprocess.run([*CONTAINER, "true"], check=False, capture_output=True).returncode


def test_threads_in_calls_that_do_not_end_are_not_waited_for() -> None:
    assert ended("asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)").returncode == 0


def test_what_nobody_expected_is_one_line_of_the_log() -> None:
    failed = ended("raise ValueError('no such region')")
    line = json.loads(failed.stderr)
    assert line["level"] == "critical"
    assert line["error"].endswith("ValueError: no such region")
    assert failed.returncode == 1


def test_without_a_runtime_it_says_what_to_install() -> None:
    failed = ended("import sys; sys.modules['onnxruntime'] = None; from server.engine import providers")
    assert "install the extra cpu" in json.loads(failed.stderr)["message"]
    assert failed.returncode == 1


def test_sighup_before_anything_is_served_does_not_end_it() -> None:
    assert ended("os.kill(os.getpid(), signal.SIGHUP)").returncode == 0


def test_ctrl_c_during_the_start_leaves_no_traceback() -> None:
    stopped = ended("os.kill(os.getpid(), signal.SIGINT); await asyncio.sleep(20)")
    assert (stopped.returncode, stopped.stderr) == (130, "")


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_stops_it_in_peace_and_a_second_one_at_once(presses: int) -> None:
    stopped = ended(f"""
        pressed = asyncio.Event()
        command.at_stop(pressed.set)
        for press in range({presses}):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.1)
        assert pressed.is_set()
        print("finished what was left", flush=True)
    """)
    told = {1: (0, "finished what was left\n"), 2: (130, "")}
    assert (stopped.returncode, stopped.stdout) == told[presses], stopped.stderr
    assert not stopped.stderr


@pytest.mark.parametrize(("pause", "status"), [(0.1, 0), (1.1, 143)])
def test_a_second_sigterm_ends_it_at_once_unless_it_is_an_echo(pause: float, status: int) -> None:
    stopped = ended(f"""
        asked = asyncio.Event()
        command.at_stop(asked.set)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep({pause})
        assert asked.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
    """)
    assert stopped.returncode == status, stopped.stderr
    assert ("SIGTERM again" in stopped.stderr) == (status == 143)


@pytest.mark.skipif(not can_contain(), reason="needs a namespace of processes")
def test_sigterm_during_the_start_ends_it_in_a_container_too() -> None:
    stopped = ended("os.kill(os.getpid(), signal.SIGTERM); await asyncio.sleep(20)", *CONTAINER)
    assert (stopped.returncode, stopped.stderr) == (143, "")
