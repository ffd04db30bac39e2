"""Channels that hold voices of their own are judged apart, and ordinary stereo as ever."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import MediaRows, RowSpec
from server.media.voices import Voices, spoken
from tests.media import Sound, encode_sound, encode_video, moving_pictures, voice

RATE = 16_000
SPEC = RowSpec(sample_rate=RATE, window_samples=2 * RATE, by_channel=True)
ONE, OTHER, THIRD = (voice(6, RATE, seed) for seed in (1, 2, 3))
SILENCE = np.zeros_like(ONE)
BURSTS = np.repeat(np.random.default_rng(1).random(24) < 0.4, RATE // 4)
NOISE = np.random.default_rng(0).normal(0, 0.05, (2, len(ONE))).astype(np.float32)


def rows(
    *channels: Sound,
    container: str = "wav",
    codec: str = "pcm_s16le",
    spec: RowSpec = SPEC,
    bit_rate: int = 0,
) -> MediaRows:
    data = encode_sound(np.stack(channels), container, codec, RATE, bit_rate)
    return decode(data, spec, MediaLimits())


def assert_mixed(*channels: Sound) -> None:
    found = rows(*channels)
    expected = rows(*channels, spec=replace(SPEC, by_channel=False))
    assert not len(found.audio_channel)
    assert found.facts == expected.facts
    np.testing.assert_array_equal(found.audio, expected.audio)
    np.testing.assert_array_equal(found.audio_times, expected.audio_times)


def test_each_voice_has_the_windows_that_it_has_alone() -> None:
    found = rows(ONE, OTHER)
    assert found.audio_channel.tolist() == [0, 1] * 3
    assert found.facts.channels == 2
    for channel, sound in enumerate((ONE, OTHER)):
        alone = rows(sound)
        own = found.audio_channel == channel
        np.testing.assert_array_equal(found.audio[own], alone.audio)
        np.testing.assert_allclose(found.audio_times[own], alone.audio_times)


def test_all_voices_are_decoded_together(decoded_samples: list[int]) -> None:
    assert set(rows(ONE, OTHER, THIRD).audio_channel) == {0, 1, 2}
    assert sum(decoded_samples) == 2 * len(ONE)  # once to find them


@pytest.mark.parametrize(("count", "apart"), [(4, {0, 1, 2, 3}), (5, set())])
def test_up_to_four_voices_are_told_apart(count: int, apart: set[int]) -> None:
    assert set(rows(*(voice(6, RATE, seed) for seed in range(11, 11 + count))).audio_channel) == apart


def test_of_a_long_sound_each_voice_has_as_many_windows_as_a_sound() -> None:
    one, other = voice(60, RATE, 4), voice(60, RATE, 5)
    found = rows(one, other, spec=replace(SPEC, windows=5))
    assert found.audio_channel.tolist() == [0, 1] * 5
    for window, (begin, _), channel in zip(found.audio, found.audio_times, found.audio_channel, strict=True):
        start = round(begin * RATE)
        sound = (one, other)[channel]
        np.testing.assert_allclose(window, sound[start : start + 2 * RATE], atol=1e-4)


@pytest.mark.parametrize(
    ("container", "codec", "bit_rate"),
    [("mp3", "libmp3lame", 64_000), ("adts", "aac", 48_000), ("ogg", "libopus", 64_000), ("flac", "flac", 0)],
)
def test_voices_are_told_apart_after_a_codec(container: str, codec: str, bit_rate: int) -> None:
    found = rows(ONE, OTHER, container=container, codec=codec, bit_rate=bit_rate)
    assert set(found.audio_channel.tolist()) == {0, 1}


@pytest.mark.parametrize("level", [1.0, 0.3, 0.1])
def test_a_softer_voice_is_one(level: float) -> None:
    assert len(rows(ONE, level * OTHER).audio_channel)


def test_channels_that_are_silent_do_not_matter() -> None:
    assert set(rows(SILENCE, ONE, SILENCE, OTHER).audio_channel.tolist()) == {1, 3}
    assert set(rows(ONE, OTHER, THIRD).audio_channel.tolist()) == {0, 1, 2}


def test_the_sound_track_of_a_video_too() -> None:
    pictures = moving_pictures(25, 64, 48)
    data = encode_video(pictures, fps=25, sound=np.stack([ONE, OTHER])[:, :RATE], sound_rate=RATE)
    found = decode(data, SPEC, MediaLimits())
    assert len(found.image_index)
    assert set(found.audio_channel.tolist()) == {0, 1}


def echo(sound: Sound, seed: int, seconds: float = 0.6) -> Sound:
    """In a room, at a place of its own."""
    time = np.arange(round(seconds * RATE)) / RATE
    room = np.random.default_rng(seed).standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    room /= np.linalg.norm(room)
    length = len(sound) + len(room)
    wet = np.fft.irfft(np.fft.rfft(sound, length) * np.fft.rfft(room, length), length)[: len(sound)]
    return (0.7 * sound + wet).astype(np.float32)


@settings(max_examples=25)
@given(
    left=st.floats(0.25, 1),
    right=st.floats(-1, 1).filter(lambda level: abs(level) >= 0.25),
    delay=st.integers(0, RATE // 4),
    noise=st.floats(0, 0.5),
    rooms=st.booleans(),
)
def test_one_voice_in_both_channels_is_heard_as_ever(
    left: float, right: float, delay: int, noise: float, rooms: bool
) -> None:
    one, other = (echo(ONE, 1), echo(ONE, 2)) if rooms else (ONE, ONE)
    late = np.concatenate([SILENCE[:delay], other[: len(other) - delay]])
    assert_mixed(left * one + noise * NOISE[0], right * late + noise * NOISE[1])


@pytest.mark.parametrize(
    "channels",
    [
        (ONE, ONE),
        (ONE, SILENCE),
        (ONE, 0.005 * OTHER),
        (ONE, 0.003 * ONE + 0.003 * NOISE[1]),
        (ONE, NOISE[1]),
        (NOISE[0], NOISE[1]),
        (ONE, NOISE[1] * BURSTS),
        (SILENCE, SILENCE),
        (ONE + 0.4 * OTHER, OTHER + 0.4 * ONE),
        (ONE + OTHER, ONE + THIRD),
        (0.3 * ONE, 0.3 * ONE, OTHER, SILENCE, 0.1 * ONE, 0.1 * ONE),
        (SILENCE, SILENCE, ONE, OTHER, SILENCE, SILENCE),
        (ONE, OTHER, THIRD, voice(6, RATE, 6), voice(6, RATE, 7)),
        (ONE[:100], OTHER[:100]),
        (ONE,),
    ],
    ids=[
        "twin", "one ear", "too soft", "crosstalk", "noise", "rain", "walkie-talkie", "nothing", "panned",
        "middle under others", "film", "subwoofer", "choir", "too short", "mono",
    ],
)  # fmt: skip
def test_ordinary_sound_is_heard_as_ever(channels: tuple[Sound, ...]) -> None:
    assert_mixed(*channels)


@pytest.mark.parametrize(
    ("container", "codec", "bit_rate"),
    [("wav", "pcm_s16le", 0), ("adts", "aac", 48_000), ("mp3", "libmp3lame", 32_000)],
)
def test_mains_hum_is_no_voice(container: str, codec: str, bit_rate: int) -> None:
    time = np.arange(len(ONE)) / RATE
    hum = 0.05 * np.sin(2 * np.pi * 50 * time) + 0.02 * np.sin(2 * np.pi * 150 * time)
    found = rows(ONE, hum.astype(np.float32), container=container, codec=codec, bit_rate=bit_rate)
    assert not len(found.audio_channel)


def test_clicks_beyond_full_scale_hide_no_voice() -> None:
    clicking = ONE.copy()
    clicking[5_000:5_002] = np.inf
    assert set(rows(clicking, OTHER, codec="pcm_f32le").audio_channel.tolist()) == {0, 1}


def test_only_who_asks_gets_channels_apart() -> None:
    found = rows(ONE, OTHER, spec=replace(SPEC, by_channel=False))
    assert not len(found.audio_channel)
    assert len(found.audio) == 3


def test_a_sound_that_changes_its_channels_on_the_way_is_mixed() -> None:
    for parts in ([1, 2], [2, 1], [2, 3]):
        voices = Voices()
        for channels in parts:
            voices.add(np.stack([ONE, OTHER, THIRD][:channels]), RATE)
        assert voices.apart() == ()
    assert Voices().apart() == ()


@pytest.mark.parametrize("rate", [4_000, 8_000, 22_050, 44_100, 384_000])
def test_voices_are_told_apart_at_any_rate(rate: int) -> None:
    same, apart = Voices(), Voices()
    same.add(np.stack([voice(4, rate, 1)] * 2), rate)
    apart.add(np.stack([voice(4, rate, 1), voice(4, rate, 2)]), rate)
    assert (same.apart(), apart.apart()) == ((), (0, 1))


def turns(seconds: float = 3.0) -> NDArray[np.bool_]:
    """Whether the first of two speakers talks."""
    return np.asarray(np.arange(len(ONE)) // round(seconds * RATE) % 2 == 0)


@pytest.mark.parametrize(("floor", "constant"), [(0.0, 0.0), (0.02, 0.0), (0.02, 0.1)])
def test_while_a_speaker_listens_there_is_nothing_to_judge(floor: float, constant: float) -> None:
    first = turns()
    line = floor * NOISE + np.float32(constant)
    found = rows(ONE * first + line[0], OTHER * ~first + line[1])
    assert found.audio_channel.tolist() == [0, 0, 1, 1]
    # Windows are 2 s; a quarter of a second around what is said is kept.
    expected = [[0.0, 2.0], [2.0, 3.25], [2.75, 4.0], [4.0, 6.0]]
    np.testing.assert_allclose(found.audio_times, expected, atol=0.03)
    # What is left of a window fills it.
    tail = found.audio[1]
    part = round((found.audio_times[1, 1] - 2) * RATE)
    np.testing.assert_array_equal(tail[part : part + 1000], tail[:1000])


def test_pauses_within_what_is_said_stay() -> None:
    sound = ONE * (np.arange(len(ONE)) % RATE < 0.6 * RATE)
    (said,), spans = spoken([sound], np.array([[10.0, 16.0]]), RATE)
    np.testing.assert_array_equal(said, sound[: len(said)])
    assert spans[0, 0] == 10
    assert spans[0, 1] == pytest.approx(10 + len(said) / RATE)


def test_pieces_that_are_missing_or_silent_stay_so() -> None:
    said, spans = spoken([SILENCE[:0], ONE, SILENCE], np.array([[0.0, 0.0], [1.0, 7.0], [8.0, 14.0]]), RATE)
    assert [len(piece) for piece in said] == [0, len(ONE), 0]
    np.testing.assert_allclose(spans[1], [1, 7])
