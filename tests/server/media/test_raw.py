"""Decoded input gets the rows that a file would get."""

import numpy as np
import pytest

from server.errors import InvalidRequest
from server.media.raw import raw_audio_rows, raw_frame_rows
from server.media.types import MediaKind, RowSpec

SPEC = RowSpec(height=8, width=6, clip_length=3, clips=2, window_samples=16_000)


def test_one_picture_is_a_photo() -> None:
    pixels = np.zeros((1, 8, 6, 3), np.uint8)
    rows = raw_frame_rows(pixels, SPEC)
    assert rows.facts.kind is MediaKind.IMAGE
    assert rows.image_index.tolist() == [0]
    assert len(rows.clip_index) == 0
    assert rows.image_times.tolist() == [[0, 0]]
    assert rows.image_regions.tolist() == [[0, 0, 1, 1]]


def test_several_pictures_are_frames_of_a_video() -> None:
    pixels = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 6, 3), np.uint8)
    rows = raw_frame_rows(pixels, SPEC)
    assert rows.facts.kind is MediaKind.VIDEO
    assert rows.frames is pixels
    assert rows.image_index.tolist() == list(range(10))
    assert (np.diff(rows.clip_index, axis=1) == 1).all()
    assert rows.clip_index.shape == (2, 3)
    np.testing.assert_allclose(rows.image_times[3], [0.12, 0.16])
    first = rows.clip_index[:, 0]
    np.testing.assert_allclose(rows.clip_times, np.stack([first, first + 3], 1) * 0.04)
    assert rows.image_regions.tolist() == [[0, 0, 1, 1]] * 10


def test_only_wanted_rows_are_made() -> None:
    pixels = np.zeros((10, 8, 6, 3), np.uint8)
    rows = raw_frame_rows(pixels, RowSpec(height=8, width=6, want_images=False, want_clips=False))
    assert len(rows.image_index) == len(rows.clip_index) == 0
    sound = np.linspace(-1, 1, 16_000, dtype=np.float32)
    assert len(raw_audio_rows(sound, 16_000, RowSpec()).audio) == 1
    assert len(raw_audio_rows(sound, 16_000, RowSpec(want_audio=False)).audio) == 0


def test_sound_is_cut_into_windows() -> None:
    sound = np.linspace(-1, 1, 40_000, dtype=np.float32)
    rows = raw_audio_rows(sound, 16_000, SPEC)
    assert rows.audio.shape == (3, 16_000)
    np.testing.assert_array_equal(rows.audio[0], sound[:16_000])
    np.testing.assert_array_equal(rows.audio[-1], sound[-16_000:])
    assert rows.facts.duration_seconds == 2.5


def test_sound_that_is_too_short_gives_no_window() -> None:
    sound = np.linspace(-1, 1, 4_000, dtype=np.float32)
    rows = raw_audio_rows(sound[:-1], 16_000, SPEC)
    assert rows.audio.shape == (0, 16_000)
    assert rows.facts.warnings
    just_enough = raw_audio_rows(sound, 16_000, SPEC)
    np.testing.assert_array_equal(just_enough.audio, np.tile(sound, (1, 4)))
    assert not just_enough.facts.warnings


def test_another_size_or_rate_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="7x8"):
        raw_frame_rows(np.zeros((1, 8, 7, 3), np.uint8), SPEC)
    with pytest.raises(InvalidRequest, match="8000 Hz"):
        raw_audio_rows(np.zeros(8_000, np.float32), 8_000, SPEC)
