"""Sound against librosa and against decoding the whole file."""

import io
from typing import Any

import av
import librosa
import numpy as np
import pytest

from server.errors import CorruptMedia, MediaLimitExceeded, UnsupportedMedia
from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import MediaKind, MediaRows, RowSpec
from server.media.windows import MIN_SECONDS
from tests.media import (
    ENCRYPTED,
    Sound,
    damage_packets,
    encode_picture,
    encode_sound,
    encode_video,
    moving_pictures,
    photo,
    pitch,
    speech,
    speech_mp3,
    speech_wav,
    tone,
    tone_wav,
    video_mp4,
)

RATE = 16_000
LIMITS = MediaLimits()


def rows(data: bytes, window: int = RATE, windows: int = 16) -> MediaRows:
    return decode(data, RowSpec(window_samples=window, windows=windows, sample_rate=RATE), LIMITS)


def whole(data: bytes) -> Sound:
    """The whole sound: a window longer than it, without its repetition."""
    found = rows(data, window=60 * RATE)
    begin, end = found.audio_times[0]
    sound: Sound = found.audio[0][: round((end - begin) * RATE)]
    return sound


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_wav_is_what_librosa_reads(sample_rate: int) -> None:
    left, right = speech(1.5, sample_rate), tone(1.5, sample_rate)
    data = encode_sound(np.stack([left, right]), "wav", "pcm_s16le", sample_rate)
    expected, _ = librosa.load(io.BytesIO(data), sr=RATE, mono=True, res_type="soxr_hq")
    np.testing.assert_allclose(whole(data), expected, atol=1e-4)


@pytest.mark.parametrize(
    "codec",
    ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_mulaw", "pcm_alaw"],
)
def test_every_sample_format_has_the_same_scale(codec: str) -> None:
    sound = tone(1.0, RATE)
    found = whole(encode_sound(sound, "wav", codec, RATE))
    coarse = codec in ("pcm_u8", "pcm_mulaw", "pcm_alaw")
    np.testing.assert_allclose(found, sound, atol=0.02 if coarse else 1e-4)


@pytest.mark.parametrize(
    ("container", "codec", "sample_rate"),
    [
        ("mp3", "libmp3lame", 44_100),
        ("ogg", "libopus", 48_000),
        ("webm", "libopus", 48_000),
        ("mp4", "aac", 44_100),
        ("adts", "aac", 44_100),
        ("matroska", "aac", 48_000),
        ("flac", "flac", 44_100),
        ("aiff", "pcm_s16be", 44_100),
        ("caf", "alac", 44_100),
        ("mpegts", "mp2", 48_000),
        ("mp4", "ac3", 48_000),
        ("au", "pcm_s16be", 8_000),
        ("w64", "pcm_s16le", 44_100),
    ],
)
def test_formats_sound_like_what_was_written(container: str, codec: str, sample_rate: int) -> None:
    data = encode_sound(np.stack([speech(2, sample_rate)] * 2), container, codec, sample_rate)
    found = whole(data)
    facts = rows(data).facts
    assert facts.kind is MediaKind.AUDIO
    assert (facts.sample_rate, facts.channels) == (sample_rate, 2)
    assert facts.duration_seconds == pytest.approx(2, abs=0.1)
    original = librosa.resample(speech(2, sample_rate), orig_sr=sample_rate, target_sr=RATE)
    lag = int(np.correlate(found[: 2 * RATE], original, "full").argmax()) - len(original) + 1
    # A raw AAC stream cannot say how much of its start is padding; the others do.
    assert abs(lag) <= (RATE // 10 if container in ("adts", "mpegts", "mp4") else 48)
    shifted = found[max(0, lag) :][: RATE // 2]
    assert np.corrcoef(shifted, original[max(0, -lag) :][: RATE // 2])[0, 1] > 0.95


@pytest.mark.parametrize(
    ("container", "codec", "sample_rate"),
    [
        ("wav", "pcm_s16le", 44_100),
        ("wav", "pcm_s16le", 11_027),
        ("mp3", "libmp3lame", 44_100),
        ("flac", "flac", 48_000),
        ("ogg", "libopus", 48_000),
        ("mp4", "aac", 44_100),
        ("adts", "aac", 44_100),
    ],
)
def test_windows_of_a_long_sound_are_cut_as_from_the_whole(
    container: str, codec: str, sample_rate: int
) -> None:
    data = encode_sound(speech(30, sample_rate), container, codec, sample_rate)
    sound = whole(data)
    found = rows(data, windows=5)
    assert len(found.audio) == 5
    for window, (begin, end) in zip(found.audio, found.audio_times, strict=True):
        start = round(begin * RATE)
        assert end - begin == pytest.approx(1.0)
        # AAC fills bands with noise of its own, which depends on everything decoded before.
        tolerance = 0.02 if codec == "aac" else 2e-3
        np.testing.assert_allclose(window, sound[start : start + RATE], atol=tolerance)


def test_a_long_sound_is_not_decoded_as_a_whole(decoded_samples: list[int]) -> None:
    rows(encode_sound(speech(60, RATE), "flac", "flac", RATE), windows=4)
    assert sum(decoded_samples) < 12 * RATE


def test_short_sound_is_repeated_to_fill_its_window() -> None:
    data = encode_sound(tone(0.5, RATE), "wav", "pcm_s16le", RATE)
    found = rows(data, window=3 * RATE // 2)
    np.testing.assert_allclose(found.audio[0], np.tile(tone(0.5, RATE), 3), atol=1e-4)
    assert found.audio_times.tolist() == [[0.0, 0.5]]
    assert found.facts.warnings == ()


@pytest.mark.parametrize("seconds", [0.01, 0.2])
def test_sound_that_is_too_short_gives_no_window(seconds: float) -> None:
    found = rows(tone_wav(seconds))
    assert found.audio.shape == (0, RATE)
    assert found.audio_times.shape == (0, 2)
    assert str(MIN_SECONDS) in found.facts.warnings[0]


@pytest.mark.parametrize(
    ("container", "codec"),
    [("wav", "pcm_s16le"), ("wav", "pcm_u8"), ("wav", "pcm_alaw"), ("mp3", "libmp3lame")],
)
def test_silence_gives_no_window(container: str, codec: str) -> None:
    sound = np.zeros(4 * RATE, np.float32)
    found = rows(encode_sound(sound, container, codec, RATE), window=RATE)
    assert found.audio.shape == (0, RATE)
    assert "silent" in found.facts.warnings[0]
    sound[3 * RATE :] = 1e-3 * speech(1.0, RATE)
    found = rows(encode_sound(sound, "wav", "pcm_f32le", RATE), window=RATE)
    assert found.audio_times.tolist() == [[3.0, 4.0]]


def test_windows_and_times_of_an_mp3() -> None:
    found = rows(speech_mp3(10), window=4 * RATE)
    assert found.audio.shape == (3, 4 * RATE)
    assert found.audio.dtype == np.float32
    np.testing.assert_allclose(found.audio_times, [[0, 4], [3, 7], [6, 10]], atol=0.01)
    assert found.facts.duration_seconds == pytest.approx(10, abs=0.01)
    assert found.facts.audio_codec == "mp3"


def test_samples_stay_in_range() -> None:
    loud = np.sign(tone(1.0, 48_000, 1_000.0))
    assert np.abs(whole(encode_sound(loud, "wav", "pcm_s16le", 48_000))).max() <= 1
    for value in (np.nan, np.inf, 3e38):
        for rate in (RATE, 44_100):
            samples = tone(1.0, rate, 440.0).astype(np.float32)
            samples[rate // 2] = value
            assert np.isfinite(whole(encode_sound(samples, "wav", "pcm_f32le", rate))).all()


def test_a_song_with_cover_art_is_sound() -> None:
    cover = encode_picture(photo(64, 64), "JPEG")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as output:
        sound = output.add_stream("libmp3lame", rate=44_100)
        art = output.add_stream("mjpeg", rate=1)
        assert isinstance(sound, av.AudioStream)
        assert isinstance(art, av.VideoStream)
        art.width = art.height = 64
        art.pix_fmt = "yuvj420p"
        art.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover)
        packet.stream = art
        samples = speech(1, 44_100)[None]
        frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
        frame.sample_rate = 44_100
        packets = sound.encode(frame) + sound.encode(None)
        output.mux([*packets[:1], packet, *packets[1:]])
    data = buffer.getvalue()
    assert cover in data
    assert decode(data, RowSpec(), LIMITS, MediaKind.AUDIO).facts.kind is MediaKind.AUDIO


def test_the_stated_kind_must_be_right() -> None:
    # What an MP4 holds is seen later than what a WAV does.
    for data in (speech_wav(), encode_sound(speech(1.0, 16_000), "mp4", "aac", 16_000)):
        with pytest.raises(UnsupportedMedia, match="stated to be video, but it is audio") as caught:
            decode(data, RowSpec(), LIMITS, MediaKind.VIDEO)
        assert "Convert" not in caught.value.hint
    with pytest.raises(UnsupportedMedia, match="stated to be audio, but it is video"):
        decode(video_mp4(0.5), RowSpec(), LIMITS, MediaKind.AUDIO)


def test_sample_rates_that_would_multiply_the_sound_are_refused() -> None:
    data = bytearray(tone_wav(1.0, 8_000))
    data[24:28] = (1).to_bytes(4, "little")
    with pytest.raises(UnsupportedMedia, match="1 Hz"):
        rows(bytes(data))


def test_a_damaged_stretch_costs_only_itself() -> None:
    data = bytearray(encode_sound(speech(10, RATE), "flac", "flac", RATE))
    data[len(data) // 2 : len(data) // 2 + 2000] = b"\x55" * 2000
    assert len(rows(bytes(data), windows=3).audio) == 3


def test_a_damaged_window_of_a_long_sound_is_left_out() -> None:
    data = encode_sound(speech(60, RATE), "matroska", "aac", RATE)
    packets = 60 * RATE // 1024
    found = rows(damage_packets(data, "audio", packets // 2 - 60, packets // 2 + 60), windows=3)
    assert len(found.audio) == 2
    assert "1 of 3 windows" in found.facts.warnings[0]


def test_noise_with_the_header_of_an_mp3_is_corrupt() -> None:
    noise = np.random.default_rng(0).integers(0, 255, 20_000, np.uint8).tobytes()
    with pytest.raises(CorruptMedia):
        rows(b"\xff\xfb\x90\x00" + noise.replace(b"\xff", b"\x00"))


def test_sound_in_a_video_container_alone_is_sound() -> None:
    silent = encode_video(moving_pictures(5, 64, 48))
    assert decode(silent, RowSpec(), LIMITS).facts.kind is MediaKind.VIDEO
    assert rows(encode_sound(speech(1), "mp4", "aac", RATE)).facts.kind is MediaKind.AUDIO


def test_times_after_a_pause_are_those_of_the_track() -> None:
    # A recorder that writes nothing for ten seconds, while the microphone is mute.
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=RATE, layout="mono")
        assert isinstance(stream, av.AudioStream)
        for tenth in range(120):
            samples = (32767 * tone(0.1, RATE)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
            frame.sample_rate, frame.pts = RATE, (tenth + (100 if tenth >= 80 else 0)) * RATE // 10
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    found = rows(buffer.getvalue(), window=4 * RATE)
    assert found.audio_times.max() == pytest.approx(22, abs=0.05)
    # What straddles the pause ends behind it.
    assert all(begin < 8 or begin >= 18 for begin, _ in found.audio_times)
    assert all(end <= 8 or end > 18 for _, end in found.audio_times)


@pytest.mark.parametrize(
    ("container", "codec", "rates"),
    [
        ("mp3", "libmp3lame", (48_000, 44_100)),
        ("mp3", "libmp3lame", (44_100, 32_000)),
        ("adts", "aac", (48_000, 44_100)),
        ("mpegts", "aac", (44_100, 48_000)),
    ],
)
def test_joined_sounds_of_two_sample_rates(container: str, codec: str, rates: tuple[int, int]) -> None:
    tones = ((8.0, rates[0], 440.0), (5.0, rates[1], 1_000.0))
    parts = [encode_sound(tone(*wave), container, codec, wave[1]) for wave in tones]
    found = rows(b"".join(parts))
    assert found.facts.sample_rate == rates[0]
    assert found.facts.duration_seconds == pytest.approx(13, abs=0.2)
    assert found.audio_times.max() == pytest.approx(13, abs=0.2)
    for sound, (begin, end) in zip(found.audio, found.audio_times, strict=True):
        if not 7.8 < (begin + end) / 2 < 8.7:
            assert pitch(sound) == pytest.approx(440 if begin < 8 else 1_000, abs=2)


def test_encrypted_sound_is_refused() -> None:
    with pytest.raises(UnsupportedMedia, match="encrypted"):
        rows(encode_sound(speech(2), "mp4", "aac", RATE, muxing=ENCRYPTED))


@pytest.mark.parametrize("default", [None, 0, 1])
def test_of_several_sound_tracks_the_default_one_is_judged(default: int | None) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        streams: list[Any] = [output.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(2)]
        for number, stream in enumerate(streams):
            if number == default:
                stream.disposition = av.stream.Disposition.default
        for number, stream in enumerate(streams):
            samples = (32767 * tone(1.0, RATE, (440.0, 1_000.0)[number])).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
            frame.sample_rate = RATE
            output.mux(stream.encode(frame))
    assert pitch(rows(buffer.getvalue()).audio[0]) == pytest.approx(1_000 if default else 440, abs=2)


def test_a_sound_that_is_too_long_is_refused() -> None:
    data, spec = tone_wav(2.0), RowSpec(window_samples=RATE)
    assert len(decode(data, spec, MediaLimits(max_duration_seconds=2.0)).audio) == 2
    with pytest.raises(MediaLimitExceeded, match=r"2 s are more than the 1\.9 s allowed"):
        decode(data, spec, MediaLimits(max_duration_seconds=1.9))


def test_a_codec_that_is_not_listed_is_not_read() -> None:
    for container, codec in (("matroska", "tta"), ("wav", "adpcm_yamaha")):
        with pytest.raises(UnsupportedMedia, match=f"audio coded as {codec}"):
            rows(encode_sound(tone(1.0, RATE)[np.newaxis], container, codec, RATE))
