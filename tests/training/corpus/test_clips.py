"""A clip's bytes follow from its pictures alone."""

import os
import subprocess
import sys

ENCODE = """
import hashlib
import numpy as np
from training.corpus.clips import Encoding
scene = np.random.default_rng(0).integers(0, 256, (28, 52, 3), np.uint8).repeat(8, 0).repeat(8, 1)
frames = [np.ascontiguousarray(np.roll(scene, 3 * step, axis=1)) for step in range(12)]
print(hashlib.sha256(Encoding("libx264", crf=25, rate=30).encode(frames)).hexdigest())
"""


def encoded_in_memory_full_of(byte: int) -> str:
    environment = os.environ | {"MALLOC_PERTURB_": str(byte)}  # heeded by glibc
    return subprocess.run(
        [sys.executable, "-c", ENCODE], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_what_memory_held_before_changes_no_clip() -> None:
    assert encoded_in_memory_full_of(1) == encoded_in_memory_full_of(200)
