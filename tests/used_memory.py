"""Programs in processes whose memory is not empty at first: what reads it before writing to it is found."""

import os
import subprocess
import sys


def printed(program: str, *arguments: str, memory: int) -> str:
    """What a Python program prints.

    Args:
        memory: byte that fills what it allocates, where the C library is glibc.
    """
    environment = os.environ | {"MALLOC_PERTURB_": str(memory)}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
