"""Rows of requests for tests of the engine."""

from collections.abc import Iterable, Sequence

import numpy as np

from server.engine.batch import Rows, Scores, empty_rows
from server.engine.manifest import Manifest
from server.engine.session import Session


def random_rows(manifest: Manifest, seed: int, images: int = 0, clips: int = 0, windows: int = 0) -> Rows:
    """Rows whose every answer differs from the next."""
    random = np.random.default_rng(seed)
    empty = empty_rows(manifest)
    brightness = random.integers(20, 200)
    count = max(images, 5) if images or clips else 0
    shape = (count, *empty.frames.shape[1:])
    return Rows(
        random.integers(brightness, brightness + 50, shape, np.uint8),
        random.integers(0, max(count, 1), images),
        random.integers(0, max(count, 1), (clips, empty.clip_index.shape[1])),
        random.uniform(-1, 1, (windows, empty.audio.shape[1])).astype(np.float32) + random.uniform(-0.5, 0.5),
        np.array([0.4, 0.4, 0.2], np.float32),
    )


def assert_same(got: Scores, expected: Scores, tolerance: float = 1e-5) -> None:
    """The same answer, whatever else was in the batch."""
    assert abs(got.fake_probability - expected.fake_probability) <= tolerance
    np.testing.assert_array_equal(got.modality_present, expected.modality_present)
    for name in ("modality_probability", "image_probability", "clip_probability", "audio_probability"):
        np.testing.assert_allclose(getattr(got, name), getattr(expected, name), atol=tolerance, rtol=0)
    np.testing.assert_allclose(got.image_heatmap, expected.image_heatmap, atol=tolerance, rtol=0)


def assert_as_alone(
    answers: Iterable[Scores], requests: Sequence[Rows], session: Session, tolerance: float = 1e-5
) -> None:
    """Each answer is that which the session gives to the request alone."""
    for answer, rows in zip(answers, requests, strict=True):
        assert_same(answer, session.run([rows])[0], tolerance)
