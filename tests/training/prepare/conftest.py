"""A folder to prepare."""

import os
from pathlib import Path

import pytest

from tests import media
from tests.training.prepare.runs import write


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain folder with every kind of trouble in it."""
    root = tmp_path_factory.mktemp("raw")
    for number in range(12):
        write(root / f"real/images/p{number:02d}.jpg", media.photo_jpeg(200, 150, number))
        write(root / f"fake/images/swap/p{number:02d}.jpg", media.photo_jpeg(200, 150, 100 + number))
    write(root / "real/audio/voice.wav", media.speech_wav(2.0, seed=1))
    write(root / "fake/audio/vocoder/voice.wav", media.speech_wav(2.0, seed=2))
    write(root / "real/videos/clip.mp4", media.video_mp4(0.6, seed=1))
    write(root / "fake/videos/swap/clip.mp4", media.video_mp4(0.6, seed=2))
    whole = media.video_mp4(1.0, seed=3)
    write(root / "real/videos/broken_off.mp4", whole[: len(whole) // 3])
    write(root / "real/images/notes.txt", b"no picture")
    write(root / "real/images/damaged.jpg", media.photo_jpeg(seed=5)[:300])
    write(root / "real/images/copy_of_p03.jpg", media.photo_jpeg(200, 150, 3))
    write(root / "real/images/smaller_p04.jpg", media.photo_jpeg(200, 150, 4, quality=40))
    write(root / "real/images/both.jpg", media.photo_jpeg(200, 150, 50))
    write(root / "fake/images/both.jpg", media.photo_jpeg(200, 150, 50))
    write(root / "real/images/two\nlines.jpg", media.photo_jpeg(200, 150, 60))
    write(root / os.fsdecode(b"real/images/caf\xe9.jpg"), media.photo_jpeg(200, 150, 61))
    return root
