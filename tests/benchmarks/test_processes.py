import subprocess
import sys

import psutil
import pytest

from benchmarks.processes import cpu_seconds, own_cpu_seconds

BUSY = """
import subprocess, sys, time
child = "import time; {work}; print(flush=True); time.sleep(60)"
subprocess.run([sys.executable, "-c", child])
"""
WORK = "[0 for _ in iter(lambda: time.process_time() < 0.5, False)]"


def test_work_of_the_whole_family_counts_dead_or_alive() -> None:
    before = own_cpu_seconds()
    command = [sys.executable, "-c", BUSY.format(work=WORK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert cpu_seconds(psutil.Process(process.pid)) >= 0.45
        assert own_cpu_seconds() - before >= 0.45
        for child in psutil.Process(process.pid).children():
            child.kill()
    assert process.wait() == 0
    assert own_cpu_seconds() - before >= 0.45


def test_what_has_ended_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        gone = psutil.Process(process.pid)
    assert cpu_seconds(gone) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say")
def test_what_members_have_started_and_waited_for_counts() -> None:
    child = f"import time; {WORK}"
    waiting = f"subprocess.run([sys.executable, '-c', {child!r}]); print(flush=True); input()"
    code = f"import subprocess, sys; {waiting}"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert cpu_seconds(psutil.Process(process.pid)) >= 0.45
        process.kill()
