"""What errors keep in memory of the media that they are about."""

import gc
import weakref
from pathlib import Path

import pytest

from clients import AsyncDetector, DetectionError, Detector
from clients.batch import detect_each

# Nobody listens there.
NOWHERE = "127.0.0.1:1"


def test_an_error_is_in_no_circle() -> None:
    gc.disable()
    try:
        with Detector(NOWHERE, retries=0) as detector, pytest.raises(DetectionError) as told:
            detector.detect(b"medium")
        error = weakref.ref(told.value)
        del told
        assert error() is None
    finally:
        gc.enable()


async def test_an_error_that_is_an_answer_holds_no_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"medium")
    async with AsyncDetector(NOWHERE, retries=0) as detector:
        answers = [answer async for _, answer in detect_each(detector, [str(path)], concurrency=1)]
    assert isinstance(answers[0], DetectionError)
    assert (answers[0].__traceback__, answers[0].__context__) == (None, None)
