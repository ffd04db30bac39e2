"""Which frames, clips, windows and crops are chosen: golden numbers, and properties of any input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.media.sampling import (
    ClipPlan,
    choose_clips,
    choose_crops,
    choose_frames,
    choose_windows,
    frames_at,
)

CONSTANT = np.arange(100) / 25  # 4 seconds at 25 frames a second


@st.composite
def frame_times(draw: st.DrawFn) -> tuple[np.ndarray, float]:
    """Times of a variable-rate video, and its end."""
    gaps = draw(st.lists(st.floats(0.002, 2.0), min_size=1, max_size=200))
    times = draw(st.floats(-5, 5)) + np.concatenate([[0.0], np.cumsum(gaps)])
    return times[:-1], float(times[-1])


def test_frames_are_the_centres_of_equal_parts() -> None:
    assert choose_frames(CONSTANT, 4.0, 5).tolist() == [10, 30, 50, 70, 90]
    assert choose_frames(CONSTANT, 4.0, 1).tolist() == [50]


def test_frames_follow_time_and_not_their_number() -> None:
    # Half of the frames in the first tenth of the video.
    times = np.concatenate([np.linspace(0, 1, 50, endpoint=False), np.linspace(1, 10, 50, endpoint=False)])
    chosen = times[choose_frames(times, 10.0, 5)]
    np.testing.assert_allclose(chosen, [1, 3, 5, 7, 9], atol=0.2)


def test_the_rounding_of_a_clock_does_not_change_the_frames() -> None:
    milliseconds = np.round(np.arange(90) / 30, 3)
    assert choose_frames(milliseconds, 3.0, 6).tolist() == choose_frames(np.arange(90) / 30, 3.0, 6).tolist()


@given(st.integers(0, 99).filter(lambda percent: percent != 50))
def test_a_phase_moves_all_within_their_parts(percent: int) -> None:
    phase = percent / 100
    assert choose_frames(CONSTANT, 4.0, 5, phase).tolist() == [20 * part + percent // 5 for part in range(5)]
    windows = choose_windows(1_600_000, 64_000, 4, phase)
    np.testing.assert_allclose(windows, 384_000 * (np.arange(4) + phase), atol=1)
    # Where all is heard there is nothing to choose.
    assert choose_windows(160_000, 64_000, 3, phase).tolist() == [0, 48_000, 96_000]


@given(frame_times(), st.integers(1, 40))
def test_frames_are_different_ordered_and_spread(video: tuple[np.ndarray, float], count: int) -> None:
    starts, end = video
    chosen = choose_frames(starts, end, count)
    assert 1 <= len(chosen) <= min(count, len(starts))
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < len(starts)
    # Every wanted time shows one of the chosen frames.
    wanted = starts[0] + (end - starts[0]) * (np.arange(count) + 0.5) / count
    assert set(frames_at(wanted, starts)) == set(chosen)


def test_clips_share_the_frames_of_the_image_rows() -> None:
    clips = choose_clips(CONSTANT, 4.0, ClipPlan(2, 5, 0.04, frames=5))
    assert clips.tolist() == [[28, 29, 30, 31, 32], [68, 69, 70, 71, 72]]
    assert {30, 70} <= set(choose_frames(CONSTANT, 4.0, 5).tolist())


def test_clips_stay_even_when_no_image_row_is_near() -> None:
    clips = choose_clips(CONSTANT, 4.0, ClipPlan(4, 3, 0.04, frames=1))
    assert clips[:, 1].tolist() == [12, 37, 62, 87]


@pytest.mark.parametrize(("stride", "step"), [(0.04, 1), (0.02, 1), (0.08, 2), (0.2, 5), (100.0, 24)])
def test_the_stride_is_a_whole_number_of_frames(stride: float, step: int) -> None:
    clips = choose_clips(CONSTANT, 4.0, ClipPlan(2, 5, stride, frames=5))
    assert (np.diff(clips, axis=1) == step).all()


def test_a_video_shorter_than_a_clip_has_none() -> None:
    assert choose_clips(CONSTANT[:4], 0.16, ClipPlan(2, 5, 0.04, frames=5)).shape == (0, 5)
    assert choose_clips(CONSTANT[:5], 0.2, ClipPlan(2, 5, 0.04, frames=5)).tolist() == [[0, 1, 2, 3, 4]]


@given(frame_times(), st.integers(1, 8), st.integers(2, 9), st.floats(0.01, 1.0), st.integers(1, 16))
def test_clips_are_frames_of_the_video_at_one_step(
    video: tuple[np.ndarray, float], count: int, length: int, stride: float, frames: int
) -> None:
    starts, end = video
    clips = choose_clips(starts, end, ClipPlan(count, length, stride, frames))
    assert clips.shape[1] == length
    assert len(clips) <= count
    assert (len(clips) == 0) == (len(starts) < length)
    if len(clips):
        assert clips.min() >= 0
        assert clips.max() < len(starts)
        steps = np.diff(clips, axis=1)
        assert (steps == steps[0, 0]).all()
        assert steps[0, 0] >= 1
        assert len(np.unique(clips[:, 0])) == len(clips)


def test_windows_cover_the_sound() -> None:
    assert choose_windows(64_000, 64_000, 16).tolist() == [0]
    assert choose_windows(10, 64_000, 16).tolist() == [0]
    assert choose_windows(128_000, 64_000, 16).tolist() == [0, 64_000]
    assert choose_windows(160_000, 64_000, 16).tolist() == [0, 48_000, 96_000]
    assert choose_windows(1_600_000, 64_000, 3).tolist() == [0, 768_000, 1_536_000]
    assert choose_windows(1_600_000, 64_000, 1).tolist() == [768_000]


def test_a_codec_s_padding_does_not_make_a_window() -> None:
    assert len(choose_windows(64_000 + 1_500, 64_000, 16)) == 1
    assert len(choose_windows(64_000 + 8_000, 64_000, 16)) == 2


@given(st.integers(0, 10**8), st.integers(100, 10**6), st.integers(1, 64))
def test_windows_lie_in_the_sound_and_are_evenly_spread(total: int, window: int, count: int) -> None:
    starts = choose_windows(total, window, count)
    assert 1 <= len(starts) <= count
    assert starts[0] >= 0
    assert starts[-1] + window <= max(total, window)
    if len(starts) > 1:
        gaps = np.diff(starts)
        assert gaps.min() > 0
        assert gaps.max() - gaps.min() <= 1
        assert (starts[0], starts[-1] + window) == (0, total)
    if count * window >= total > window:
        # At most a tenth of a window is left out, in all.
        heard = (
            len(starts) * window if len(starts) == 1 else window + np.minimum(np.diff(starts), window).sum()
        )
        assert total - heard <= window // 10


def test_crops_fill_rows_that_fit_the_picture() -> None:
    assert choose_crops(400, 200, 100, 100, 1) == [(150, 50, 250, 150)]
    assert [box[:2] for box in choose_crops(400, 200, 100, 100, 2)] == [(75, 50), (225, 50)]
    assert [box[:2] for box in choose_crops(200, 400, 100, 100, 2)] == [(50, 75), (50, 225)]
    corners = [box[:2] for box in choose_crops(300, 300, 100, 100, 4)]
    assert corners == [(50, 50), (150, 50), (50, 150), (150, 150)]


@given(
    st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600), st.integers(1, 600), st.integers(0, 20)
)
def test_crops_lie_in_the_picture(
    width: int, height: int, crop_width: int, crop_height: int, count: int
) -> None:
    boxes = choose_crops(width, height, crop_width, crop_height, count)
    fits = crop_width <= width and crop_height <= height
    assert len(boxes) == (count if fits else 0)
    for left, top, right, bottom in boxes:
        assert 0 <= left <= right <= width
        assert 0 <= top <= bottom <= height
        assert (right - left, bottom - top) == (crop_width, crop_height)
