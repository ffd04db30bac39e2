from pathlib import Path

import numpy as np
import pytest

from tests.media import encode_sound


@pytest.fixture(scope="module")
def noises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short sounds, as no model learns faster than theirs; the fake ones are duller."""
    folder = tmp_path_factory.mktemp("noises")
    random = np.random.default_rng(0)
    for label, echo in (("real", 0.0), ("fake", 0.2)):
        (folder / label / "audio").mkdir(parents=True)
        for number in range(30):
            white = random.normal(0, 0.1, 8001)
            sound = (white[1:] + echo * white[:-1]).astype(np.float32)
            path = folder / label / "audio" / f"{label}{number}.wav"
            path.write_bytes(encode_sound(sound, "wav", "pcm_s16le", 16_000))
    return folder
