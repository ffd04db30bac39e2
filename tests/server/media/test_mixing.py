"""What is heard of several channels."""

import av
import numpy as np
import pytest

from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.mixing import mono
from server.media.types import RowSpec
from tests.media import Sound, encode_sound, speech, tone

RATE = 16_000
SECONDS = 30
HIGH, LOW = tone(SECONDS, RATE, 1_000.0), tone(SECONDS, RATE, 250.0)


def heard(
    channels: list[Sound], codec: str = "pcm_f32le", container: str = "wav", seconds: int = 60
) -> Sound:
    """The first window of the file."""
    data = encode_sound(np.stack(channels), container, codec, RATE)
    rows = decode(data, RowSpec(window_samples=seconds * RATE, sample_rate=RATE), MediaLimits())
    sound: Sound = rows.audio[0][: len(channels[0])]
    return sound


def amplitude(sound: Sound, frequency: float) -> float:
    wave = np.exp(2j * np.pi * frequency * np.arange(len(sound)) / RATE)
    return float(2 * np.abs(np.mean(sound * wave)))


def test_channels_are_averaged() -> None:
    np.testing.assert_allclose(heard([HIGH, LOW]), (HIGH + LOW) / 2, atol=1e-6)
    silence = np.zeros_like(HIGH)
    np.testing.assert_allclose(heard([HIGH] + [silence] * 4), HIGH / 5, atol=1e-6)


@pytest.mark.parametrize("count", [6, 8])
def test_the_subwoofer_makes_nothing_softer(count: int) -> None:
    # 5.1 and 7.1
    np.testing.assert_allclose(heard([HIGH] * count), HIGH, atol=1e-6)


def test_layouts_of_as_many_channels_each_have_their_own_mean() -> None:
    # As where a broadcast goes over from one programme to the next.
    frames = []
    for layout in ("5.0", "4.1", "5.0"):
        samples = np.tile(HIGH[:RATE], (5, 1)).T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, "flt", layout)
        frame.sample_rate = RATE
        frames.append(frame)
    np.testing.assert_allclose(mono(frames), np.tile(HIGH[:RATE], 3), atol=1e-6)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_f32le"])
def test_channels_that_cancel_each_other_are_heard(codec: str) -> None:
    for seconds in (0.3, 1, SECONDS):
        part = HIGH[: round(seconds * RATE)]
        np.testing.assert_allclose(np.abs(heard([part, -part], codec)), np.abs(part), atol=0.01)


@pytest.mark.parametrize("middle", [0.1, 0.3, 0.6])
def test_what_lies_in_the_middle_does_not_hide_what_is_upside_down(middle: float) -> None:
    found = heard([middle * LOW + HIGH, middle * LOW - HIGH])
    assert amplitude(found, 1_000) == pytest.approx(0.5, abs=0.02)


def test_speakers_of_whom_each_has_a_channel_are_both_heard() -> None:
    left, right = speech(SECONDS, RATE, 1), np.roll(speech(SECONDS, RATE, 2), RATE)
    np.testing.assert_allclose(heard([left, right]), (left + right) / 2, atol=1e-6)
    turn = np.arange(len(left)) // (2 * RATE) % 2 == 0
    left, right = left * turn, right * ~turn
    np.testing.assert_allclose(heard([left, right]), (left + right) / 2, atol=1e-6)


def test_a_channel_turns_over_where_the_others_cancel_it_and_without_a_click() -> None:
    # Beyond what is mixed at once, so that it turns between one such piece and the next as well.
    upside_down = np.arange(len(LOW)) // (6 * RATE) % 2 == 1
    found = heard([LOW, np.where(upside_down, -LOW, LOW)])
    loud = np.abs(found).reshape(-1, RATE // 10).max(1)
    assert np.count_nonzero(loud < 0.49) <= 4
    assert np.abs(np.diff(found)).max() < 1.1 * np.abs(np.diff(LOW)).max()


@pytest.mark.parametrize("frequency", [0.0, 12.0, 50.0])
def test_what_nobody_hears_does_not_hide_what_lies_in_the_middle(frequency: float) -> None:
    unheard = 0.8 * np.cos(2 * np.pi * frequency * np.arange(len(HIGH)) / RATE).astype(np.float32)
    found = heard([0.2 * HIGH + unheard, 0.2 * HIGH - unheard])
    np.testing.assert_allclose(found, 0.2 * HIGH, atol=1e-6)


def test_two_of_six_channels_that_cancel_each_other_are_heard() -> None:
    silence = np.zeros_like(HIGH)
    found = heard([HIGH, -HIGH, 0.5 * LOW, silence, silence, silence])
    assert amplitude(found, 1_000) == pytest.approx(2 * 0.5 / 5, abs=0.01)


def test_a_voice_in_the_channel_of_the_subwoofer_is_not_heard() -> None:
    silence = np.zeros_like(HIGH)
    found = heard([0.3 * HIGH, 0.3 * HIGH, silence, LOW, silence, silence])
    np.testing.assert_allclose(found, 0.6 / 5 * HIGH, atol=1e-6)


def test_eight_channels_are_heard_whichever_way_they_lie_in_memory() -> None:
    channels = [HIGH, LOW, HIGH, np.zeros_like(HIGH), LOW, HIGH, LOW, HIGH]
    expected = np.sum(channels, 0) / 7
    for codec, container in (("pcm_s16le", "wav"), ("flac", "flac"), ("aac", "adts")):
        found = heard(channels, codec, container)
        for frequency in (1_000, 250):
            assert amplitude(found, frequency) == pytest.approx(amplitude(expected, frequency), abs=0.02)
