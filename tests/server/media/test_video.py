"""Video against decoding everything in sequence: the same frames, whatever the codec and container."""

import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from av.container import InputContainer
from av.video.reformatter import Colorspace

from server.errors import CorruptMedia, MediaLimitExceeded, UnsupportedMedia
from server.media import container as containers
from server.media.container import open_container
from server.media.decode import decode
from server.media.limits import Budget, MediaLimits
from server.media.pixels import PixelConverter
from server.media.probe import Format
from server.media.types import MediaKind, RowSpec
from tests.media import (
    Picture,
    damage_packets,
    encode_picture,
    encode_video,
    photo,
    speech,
    video_mp4,
)
from tests.server.media.videos import COUNT, HEIGHT, LIMITS, PICTURES, SPEC, WIDTH, in_sequence, numbers

CODECS = [
    ("mp4", "libx264", {}),
    ("mp4", "libx264", {"bf": "0"}),
    ("mp4", "libx264", {"x264-params": "open-gop=1:keyint=20"}),
    ("mov", "libx265", {"x265-params": "log-level=none:keyint=20"}),
    ("matroska", "libx264", {}),
    ("mpegts", "libx264", {}),
    ("flv", "libx264", {}),
    ("avi", "libx264", {}),
    ("avi", "mpeg4", {"bf": "2"}),
    ("avi", "mjpeg", {}),
    ("mp4", "mpeg4", {"bf": "2"}),
    ("mpeg", "mpeg2video", {"bf": "2"}),
    ("mpeg", "mpeg1video", {}),
    ("webm", "libvpx", {"deadline": "realtime"}),
    ("webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "12"}),
    ("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    ("asf", "wmv2", {}),
    ("asf", "libx264", {}),
]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("container", "codec", "options"), CODECS)
def test_frames_are_those_of_sequential_decoding(
    container: str, codec: str, options: dict[str, str], threads: int
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    data = encode_video(PICTURES, container, codec, options=options, pix_fmt=pix_fmt, gop=20)
    rows = decode(data, SPEC, MediaLimits(max_threads=threads))
    found = numbers(rows, in_sequence(data))
    # Five images at 6, 18, 30, 42 and 54 of 60; two clips around the second and the fourth.
    assert found == [6, 16, 17, 18, 19, 20, 30, 40, 41, 42, 43, 44, 54]
    assert rows.image_index.tolist() == [0, 3, 6, 9, 12]
    assert rows.clip_index.tolist() == [[1, 2, 3, 4, 5], [7, 8, 9, 10, 11]]
    assert rows.facts.frame_rate == pytest.approx(25, rel=0.01)
    assert rows.facts.duration_seconds == pytest.approx(2.4, abs=0.05)


def test_packets_without_times_follow_each_other_at_the_usual_rate() -> None:
    # In a program stream a packet of the container may hold several pictures, and have one time.
    rows = decode(encode_video(PICTURES, "mpeg", "libx264"), SPEC, LIMITS)
    assert rows.facts.duration_seconds == pytest.approx(2.4, abs=0.05)
    assert rows.facts.frame_rate == pytest.approx(25, rel=0.01)
    assert len(rows.image_index) == 5
    np.testing.assert_allclose(np.diff(rows.clip_times, axis=1), 0.2, atol=0.01)


def test_av1() -> None:
    # In a process of its own, because the encoder gives the whole process real-time priority where it may.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
        encoding = apart.submit(encode_video, PICTURES[:20], "mp4", "libsvtav1", options={"preset": "12"})
        data = encoding.result(60)
    rows = decode(data, SPEC, LIMITS)
    assert numbers(rows, in_sequence(data))[0] == 2
    assert rows.facts.video_codec == "av1"
    with pytest.raises(MediaLimitExceeded, match=f"{WIDTH} x {HEIGHT} pixels"):
        decode(data, SPEC, MediaLimits(max_pixels=WIDTH * HEIGHT - 1))


def test_times_are_those_of_the_frames() -> None:
    rows = decode(encode_video(PICTURES), SPEC, LIMITS)
    expected = np.asarray([6, 18, 30, 42, 54]) / 25
    np.testing.assert_allclose(rows.image_times, np.stack([expected, expected + 0.04], 1), atol=1e-6)
    np.testing.assert_allclose(rows.clip_times, [[0.64, 0.84], [1.6, 1.8]], atol=1e-6)
    assert rows.image_regions.tolist() == [[0, 0, 1, 1]] * 5


def test_a_variable_frame_rate_is_sampled_by_time() -> None:
    # 40 frames in the first second, 20 in the following nine.
    times = [*np.arange(40) / 40, *(1 + np.arange(20) * 0.45)]
    data = encode_video(PICTURES, "matroska", times=times)
    rows = decode(data, SPEC, LIMITS)
    np.testing.assert_allclose(rows.image_times[:, 0], [0.975, 2.8, 4.6, 6.85, 8.65], atol=0.46)
    shown = np.asarray(numbers(rows, in_sequence(data)))[rows.image_index]
    np.testing.assert_allclose(np.asarray(times)[shown], rows.image_times[:, 0], atol=2e-3)
    assert rows.facts.duration_seconds == pytest.approx(10, abs=0.5)


def test_only_the_groups_that_hold_wanted_frames_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_video(PICTURES, gop=6, options={"x264-params": "keyint=6:scenecut=0"})
    converted = []
    original = PixelConverter.scaled

    def counted(self: PixelConverter, frame: av.VideoFrame, *size_and_turn: Any) -> Picture:
        converted.append(frame.pts)
        return original(self, frame, *size_and_turn)

    monkeypatch.setattr(PixelConverter, "scaled", counted)
    decode(data, SPEC, LIMITS)
    assert len(converted) == len(set(converted)) == 13


@pytest.mark.parametrize(("memory_mib", "decoders"), [(2048, 4), (80, 3), (20, 1)])
def test_a_video_is_decoded_in_as_many_threads_as_there_is_memory_for(
    memory_mib: int, decoders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode_video(PICTURES, gop=6, options={"x264-params": "keyint=6:scenecut=0"})
    opened = []

    def counted(data: bytes, found: Format, budget: Budget) -> InputContainer:
        opened.append(found)
        return open_container(data, found, budget)

    monkeypatch.setattr(containers, "open_container", counted)
    rows = decode(data, SPEC, MediaLimits(max_threads=4, max_memory_bytes=memory_mib * 2**20))
    assert 1 + len(opened) == decoders
    assert numbers(rows, in_sequence(data)) == [6, 16, 17, 18, 19, 20, 30, 40, 41, 42, 43, 44, 54]


@pytest.mark.parametrize("seed", range(5))
def test_threads_decode_a_damaged_video_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(encode_video(PICTURES, gop=6, options={"x264-params": "keyint=6:scenecut=0"}))
    for place in rng.integers(len(data) // 10, len(data) * 8 // 10, 6):
        data[place : place + 8] = rng.bytes(8)
    alone, beside = (decode(bytes(data), SPEC, MediaLimits(max_threads=threads)) for threads in (1, 4))
    assert alone.facts == beside.facts
    np.testing.assert_array_equal(alone.frames, beside.frames)
    np.testing.assert_array_equal(alone.image_times, beside.image_times)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_by_display_matrix(rotation: int) -> None:
    plain = decode(encode_video(PICTURES[:12]), SPEC, LIMITS)
    size = (HEIGHT, WIDTH) if rotation % 180 else (WIDTH, HEIGHT)
    spec = RowSpec(width=size[0], height=size[1])
    rows = decode(encode_video(PICTURES[:12], rotation=rotation), spec, LIMITS)
    np.testing.assert_array_equal(rows.frames[0], np.rot90(plain.frames[0], rotation // 90))
    assert (rows.facts.width, rows.facts.height) == size
    assert rows.facts.rotation_degrees == (360 - rotation) % 360


@pytest.mark.parametrize(
    ("colorspace", "height"), [(Colorspace.ITU709, 240), (Colorspace.ITU601, 720), (None, 240), (None, 720)]
)
def test_colours_follow_the_tag_or_else_the_height(colorspace: Colorspace | None, height: int) -> None:
    scene = photo(320, height)
    # Untagged streams are written in the matrix that players assume for their height.
    matrix = colorspace or (Colorspace.ITU709 if height >= 720 else Colorspace.ITU601)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "4"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, height, "yuv444p"
        if colorspace is not None:
            stream.codec_context.colorspace = {Colorspace.ITU709: 1, Colorspace.ITU601: 5}[colorspace]
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(scene, "rgb24").reformat(
                format="yuv444p", dst_colorspace=matrix
            )
            frame.colorspace, frame.pts, frame.time_base = 2, number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    spec = RowSpec(width=320, height=height, frames=1, want_clips=False)
    frame = decode(buffer.getvalue(), spec, LIMITS).frames[0]
    assert np.abs(frame.astype(int) - scene).mean() < 2.0


def test_full_range_is_honoured() -> None:
    data = encode_video(PICTURES[:3], "avi", "mjpeg", pix_fmt="yuvj444p", options={"qmin": "1", "qmax": "1"})
    frame = decode(data, SPEC, LIMITS).frames[0]
    assert np.abs(frame.astype(int) - PICTURES[0]).mean() < 2.5


def test_high_dynamic_range_is_named() -> None:
    pq = {"x264-params": "transfer=smpte2084:colorprim=bt2020:colormatrix=bt2020nc"}
    rows = decode(encode_video(PICTURES[:12], options=pq), SPEC, LIMITS)
    assert rows.facts.warnings[0] == "High dynamic range was not tone-mapped."


def test_a_moving_gif_is_a_video_and_a_still_one_a_photo() -> None:
    moving = encode_video(PICTURES[:10], "gif", "gif", pix_fmt="rgb8", fps=10)
    rows = decode(moving, SPEC, LIMITS)
    assert (rows.facts.kind, len(rows.image_index), len(rows.clip_index)) == (MediaKind.VIDEO, 5, 2)
    still = encode_picture(PICTURES[0], "GIF")
    assert decode(still, SPEC, LIMITS).facts.kind is MediaKind.IMAGE
    with pytest.raises(UnsupportedMedia, match="stated to be video, but it is image"):
        decode(still, SPEC, LIMITS, MediaKind.VIDEO)
    with pytest.raises(UnsupportedMedia, match="stated to be image, but it is video"):
        decode(moving, SPEC, LIMITS, MediaKind.IMAGE)


def test_fewer_frames_than_wanted_are_judged_once_each() -> None:
    rows = decode(encode_video(PICTURES[:3]), SPEC, LIMITS)
    assert len(rows.frames) == len(rows.image_index) == 3
    assert len(rows.clip_index) == 0
    assert "too few for a clip" in " ".join(rows.facts.warnings)


@pytest.mark.parametrize("wanted", ["want_images", "want_clips", "want_audio"])
def test_only_what_is_wanted_is_decoded(wanted: str) -> None:
    flags = {"want_images": False, "want_clips": False, "want_audio": False, wanted: True}
    everything = decode(video_mp4(), SPEC, LIMITS)
    rows = decode(video_mp4(), RowSpec(width=WIDTH, height=HEIGHT, window_samples=16_000, **flags), LIMITS)
    assert (len(rows.image_index) > 0) == (wanted == "want_images")
    assert (len(rows.clip_index) > 0) == (wanted == "want_clips")
    assert (len(rows.audio) > 0) == (wanted == "want_audio")
    np.testing.assert_array_equal(rows.image_times, everything.image_times[: len(rows.image_index)])
    assert (rows.facts.width, rows.facts.audio_codec) == (320, "aac")


def test_sound_track_lies_on_the_clock_of_the_pictures() -> None:
    track = np.zeros(3 * 16_000, np.float32)
    track[16_000:17_600] = speech(0.1)
    data = encode_video(PICTURES, sound=track, sound_rate=16_000)
    rows = decode(data, RowSpec(width=WIDTH, height=HEIGHT, window_samples=48_000), LIMITS)
    heard = rows.audio_times[0, 0] + np.flatnonzero(np.abs(rows.audio[0]) > 0.05)[0] / 16_000
    assert heard == pytest.approx(1.0, abs=0.02)


# A program stream does not state the times of all pictures.
@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "mpeg"])
@pytest.mark.parametrize("want_audio", [True, False])
def test_a_video_begins_with_its_first_picture_or_sound_and_ends_with_its_last(
    container: str, want_audio: bool
) -> None:
    shown = [2 + number / 25 for number in range(COUNT)]
    sound_codec = "mp2" if container == "mpeg" else "aac"
    data = encode_video(PICTURES, container, times=shown, sound=speech(8, 44_100), sound_codec=sound_codec)
    rows = decode(data, replace(SPEC, want_audio=want_audio), LIMITS)
    assert rows.image_times.min() == pytest.approx(2 + 0.04 * 6, abs=0.05)
    assert rows.clip_times.min() > 2
    assert rows.facts.duration_seconds == pytest.approx(8, abs=0.06)
    assert rows.facts.frame_rate == pytest.approx(25, abs=0.5)
    if want_audio:
        assert rows.audio_times.min() == pytest.approx(0, abs=1e-6)
        assert rows.audio_times.max() == pytest.approx(8, abs=0.06)


def test_a_video_without_sound_says_so() -> None:
    rows = decode(video_mp4(sound=False), SPEC, LIMITS)
    assert len(rows.audio) == 0
    assert rows.facts.warnings == ("The video has no sound track.",)


def test_a_broken_sound_track_costs_a_warning() -> None:
    data = damage_packets(encode_video(PICTURES, "matroska", sound=speech(2.4, 44_100)), "audio")
    rows = decode(data, SPEC, LIMITS)
    assert len(rows.image_index) == 5
    assert len(rows.audio) == 0
    assert "sound cannot be decoded" in rows.facts.warnings[0]


def test_broken_pictures_beside_good_sound_cost_a_warning() -> None:
    data = damage_packets(encode_video(PICTURES, "matroska", sound=speech(2.4, 44_100)), "video")
    rows = decode(data, SPEC, LIMITS)
    assert len(rows.frames) == 0
    assert len(rows.audio) > 0
    assert rows.facts.duration_seconds == pytest.approx(2.4, abs=0.05)
    assert "no frame of the video" in rows.facts.warnings[0]
    with pytest.raises(CorruptMedia, match="no frame of the video"):
        decode(data, RowSpec(want_audio=False), LIMITS)


def test_one_damaged_group_costs_only_its_frames() -> None:
    options = {"x264-params": "keyint=12:scenecut=0"}
    data = damage_packets(encode_video(PICTURES, "matroska", options=options), "video", stop=12)
    rows = decode(data, SPEC, LIMITS)
    assert len(rows.image_index) == 4
    assert "1 of 5 frames" in rows.facts.warnings[0]


def test_a_video_that_breaks_off_is_judged_as_far_as_it_goes() -> None:
    data = encode_video(PICTURES, "mpegts", "mpeg2video")
    rows = decode(data[: len(data) // 2], SPEC, LIMITS)
    assert len(rows.image_index) == 5
    assert rows.facts.duration_seconds < 2.4


def test_limits_of_pixels_duration_and_packets() -> None:
    data = encode_video(PICTURES)
    for limits in (
        MediaLimits(max_pixels=WIDTH * HEIGHT - 1),
        MediaLimits(max_duration_seconds=2.0),
        MediaLimits(max_packets=COUNT - 1),
        MediaLimits(max_bytes=len(data) - 1),
    ):
        with pytest.raises(MediaLimitExceeded):
            decode(data, SPEC, limits)


def test_a_codec_that_is_not_listed_is_not_read() -> None:
    for container, codec in (("avi", "utvideo"), ("matroska", "snow")):
        with pytest.raises(UnsupportedMedia, match=f"video coded as {codec}"):
            decode(encode_video(PICTURES[:3], container, codec), SPEC, LIMITS)


def test_pictures_that_are_too_large_are_told_their_size() -> None:
    data = encode_video(PICTURES[:20], "webm", "libvpx-vp9")
    with pytest.raises(MediaLimitExceeded, match=f"{WIDTH} x {HEIGHT} pixels"):
        decode(data, SPEC, MediaLimits(max_pixels=WIDTH * HEIGHT - 1))


def test_a_video_that_is_a_little_too_long_is_told_how_long_it_is() -> None:
    with pytest.raises(MediaLimitExceeded, match=r"2\.4 s are more than the 2\.39 s allowed"):
        decode(encode_video(PICTURES), SPEC, MediaLimits(max_duration_seconds=2.39))


@pytest.mark.parametrize("want_audio", [True, False])
def test_a_video_is_too_long_also_where_neither_its_pictures_nor_its_sound_are(want_audio: bool) -> None:
    shown = [2 + number / 25 for number in range(COUNT)]
    data = encode_video(PICTURES, times=shown, sound=speech(2, 44_100))
    with pytest.raises(MediaLimitExceeded, match=r"4\.4 s are more than the 4 s allowed"):
        decode(data, replace(SPEC, want_audio=want_audio), MediaLimits(max_duration_seconds=4))


def test_frames_that_show_nothing_are_no_evidence() -> None:
    black = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 25
    found = decode(encode_video([*black, *PICTURES[:25]]), SPEC, LIMITS)
    assert (found.image_times[:, 0] >= 1.0 - 0.04).all()
    assert len(found.image_times)
    assert found.clip_times[:, 1].min() > 1.0
    assert any("show nothing" in warning for warning in found.facts.warnings)
    nothing = decode(encode_video(black), SPEC, LIMITS)
    assert not len(nothing.image_index)
    assert not len(nothing.clip_index)
    flashes = [black[0] if number % 3 == 2 else picture for number, picture in enumerate(PICTURES)]
    cut = decode(encode_video(flashes), SPEC, LIMITS)
    assert len(cut.clip_index) == len(decode(encode_video(PICTURES), SPEC, LIMITS).clip_index) > 0


def test_a_phase_moves_frames_and_clips() -> None:
    data = encode_video(PICTURES)
    usual, early = (decode(data, replace(SPEC, phase=phase), LIMITS) for phase in (0.5, 0.1))
    assert (early.image_times[:, 0] < usual.image_times[:, 0]).all()
    assert (early.clip_times[:, 0] < usual.clip_times[:, 0]).all()


def test_colours_that_would_come_out_wrong_are_refused() -> None:
    for name, number in (("ycgco", 8), ("bt2020c", 10)):
        data = encode_video(PICTURES, options={"x264-params": f"colormatrix={name}"})
        with pytest.raises(UnsupportedMedia, match=f"matrix {number} of"):
            decode(data, SPEC, LIMITS)
    with_sound = encode_video(PICTURES, options={"x264-params": "colormatrix=ycgco"}, sound=speech(3.0))
    rows = decode(with_sound, SPEC, LIMITS)
    assert len(rows.audio)
    assert any("matrix 8" in warning for warning in rows.facts.warnings)


def test_transparency_beside_the_pictures_is_told() -> None:
    for pix_fmt, told in (("yuva420p", True), ("yuv420p", False)):
        data = encode_video(PICTURES[:10], "webm", "libvpx-vp9", pix_fmt=pix_fmt)
        assert ("Transparency was ignored." in decode(data, SPEC, LIMITS).facts.warnings) is told
        # As timecodes or metadata are, by their BlockAddID.
        other = data.replace(b"\xee\x81\x01", b"\xee\x81\x04")
        assert "Transparency was ignored." not in decode(other, SPEC, LIMITS).facts.warnings
