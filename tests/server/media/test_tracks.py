"""What containers say of their tracks: which are played, which parts of them, and whether in the clear."""

import io
import struct
from typing import Any

import av
import numpy as np
import pytest

from server.errors import UnsupportedMedia
from server.media.decode import decode
from server.media.types import MediaKind
from tests.media import ENCRYPTED, Sound, encode_video, speech
from tests.server.media.boxes import box, span, spliced
from tests.server.media.videos import HEIGHT, LIMITS, PICTURES, SPEC, WIDTH, in_sequence, numbers


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("sound", [None, speech(2.4, 44_100)])
def test_encrypted_video_is_refused(codec: str, sound: Sound | None) -> None:
    data = encode_video(PICTURES, codec=codec, sound=sound, muxing=ENCRYPTED)
    with pytest.raises(UnsupportedMedia, match="encrypted"):
        decode(data, SPEC, LIMITS)


@pytest.mark.parametrize("default", [None, 0, 1])
def test_of_several_tracks_the_default_one_is_judged(default: int | None) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        streams: list[Any] = [output.add_stream("ffv1", rate=25) for _ in range(2)]
        for number, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
            if number == default:
                stream.disposition = av.stream.Disposition.default
        for pts in range(6):
            for number, stream in enumerate(streams):
                shade = np.full((HEIGHT, WIDTH, 3), 50 + 100 * number, np.uint8)
                frame = av.VideoFrame.from_ndarray(shade, "rgb24")
                frame.pts = pts
                output.mux(stream.encode(frame))
        for stream in streams:
            output.mux(stream.encode(None))
    rows = decode(buffer.getvalue(), SPEC, LIMITS)
    assert np.abs(rows.frames[0].astype(int) - (50 + 100 * (default or 0))).max() <= 3
    assert any("2 video tracks" in warning for warning in rows.facts.warnings)


@pytest.mark.parametrize("edits", [[(3, 20), (35, 20)], [(40, 15), (10, 15)], [(5, 10), (25, 10), (47, 10)]])
def test_joined_clips_show_the_frames_of_their_edits(edits: list[tuple[int, int]]) -> None:
    options = {"x264-params": "keyint=20:open-gop=1:bframes=3"}
    data = with_edits(encode_video(PICTURES, options=options), edits)
    rows = decode(data, SPEC, LIMITS)
    played = in_sequence(data)
    assert not [warning for warning in rows.facts.warnings if "decoded" in warning]
    found = np.asarray(numbers(rows, played))
    times = np.asarray(frame_times(data))
    shown = found[rows.image_index]
    np.testing.assert_allclose(times[shown], rows.image_times[:, 0], atol=1e-3)
    for clip in rows.clip_index:
        assert len(set(found[clip].tolist())) == SPEC.clip_length


@pytest.mark.parametrize("enabled", [True, False])
def test_a_video_whose_sound_claims_it_for_chapters_is_played_if_it_is_enabled(enabled: bool) -> None:
    plain = encode_video(PICTURES, sound=speech(2.4, 44_100))
    data = bytearray(as_chapters(plain))
    data[data.index(b"tkhd") + 7] = 3 if enabled else 0
    rows = decode(bytes(data), SPEC, LIMITS)
    assert rows.facts.kind is (MediaKind.VIDEO if enabled else MediaKind.AUDIO)
    if enabled:
        wanted = decode(plain, SPEC, LIMITS)
        np.testing.assert_array_equal(rows.frames, wanted.frames)
        np.testing.assert_array_equal(rows.image_times, wanted.image_times)


def as_chapters(data: bytes) -> bytes:
    """An MP4, moov last, of a video and a sound track; the second calls the first its chapters."""
    _, end = span(data, b"trak")
    reference = box(b"tref", box(b"chap", struct.pack(">I", 1)))
    return spliced(data, end, end, reference, b"moov", b"trak")


def with_edits(data: bytes, edits: list[tuple[int, int]]) -> bytes:
    """An MP4 whose moov comes last, that plays only these spans: first frame and number of frames."""
    ticks, seconds_per_frame = 512, 1 / 25
    start, end = span(data, b"elst")
    (first_tick,) = struct.unpack_from(">i", data, start + 20)
    entries = b"".join(
        struct.pack(">IiI", round(1000 * count * seconds_per_frame), first_tick + first * ticks, 1 << 16)
        for first, count in edits
    )
    new = box(b"elst", struct.pack(">II", 0, len(edits)) + entries)
    return spliced(data, start, end, new, b"moov", b"trak", b"edts")


def frame_times(data: bytes) -> list[float]:
    with av.open(io.BytesIO(data), "r") as container:
        return [frame.time or 0.0 for frame in container.decode(video=0)]
