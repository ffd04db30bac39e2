"""A clip's bytes follow from its pictures alone."""

from tests.used_memory import printed

ENCODE = """
import hashlib
import numpy as np
from training.corpus.clips import Encoding
scene = np.random.default_rng(0).integers(0, 256, (28, 52, 3), np.uint8).repeat(8, 0).repeat(8, 1)
frames = [np.ascontiguousarray(np.roll(scene, 3 * step, axis=1)) for step in range(12)]
print(hashlib.sha256(Encoding("libx264", crf=25, rate=30).encode(frames)).hexdigest())
"""


def test_what_memory_held_before_changes_no_clip() -> None:
    assert printed(ENCODE, memory=1) == printed(ENCODE, memory=200)
