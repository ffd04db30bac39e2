"""Files made to harm: each is refused, or read, at a cost that is bounded."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.errors import CorruptMedia, DecodeTimeout, MediaError, MediaLimitExceeded
from server.media.container import open_container
from server.media.decode import decode
from server.media.failures import typed_errors
from server.media.limits import Budget, MediaLimits
from server.media.probe import Format
from server.media.types import RowSpec
from tests.http_server import QuietHandler, http_server
from tests.media import (
    encode_picture,
    encode_sound,
    encode_video,
    moving_pictures,
    photo,
    photo_jpeg,
    png,
    png_chunk,
    speech,
    speech_mp3,
    tone,
    tone_wav,
    video_mp4,
)
from tests.server.media.boxes import box, span, spliced

LIMITS = MediaLimits()
SPEC = RowSpec(width=32, height=32, window_samples=8_000)

# References to other files and to the network.


@pytest.mark.parametrize("demuxer", ["concat", "hls", "sdp", "dash"])
def test_no_reference_is_followed_even_by_a_demuxer_that_would(demuxer: str, tmp_path: Path) -> None:
    sound = tmp_path / "local.wav"
    sound.write_bytes(tone_wav(0.5))
    visits: list[str] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_error(404)

    with http_server(Handler) as server:
        url = f"{server}/segment.ts"
        scripts = {
            "concat": f"ffconcat version 1.0\nfile '{sound}'\n",
            "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n",
            "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
            "dash": f"<?xml version='1.0'?><MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>",
        }
        with pytest.raises(MediaError), typed_errors("the file"):
            open_container(scripts[demuxer].encode(), Format(demuxer), Budget(LIMITS))
    assert visits == []


def test_a_movie_that_keeps_its_samples_in_another_file_is_not_read(tmp_path: Path) -> None:
    data = encode_video(moving_pictures(3, 64, 48))
    elsewhere = tmp_path / "movie.mp4"
    elsewhere.write_bytes(data)
    inside = box(b"url ", b"\0\0\0\1")
    outside = box(b"url ", bytes(4) + f"file://{elsewhere}\0".encode())
    start = data.index(inside)
    around = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    pointing = spliced(data, start, start + len(inside), outside, *around)
    first, end = span(pointing, b"mdat")
    with pytest.raises(CorruptMedia):
        decode(pointing[:first] + box(b"mdat", bytes(end - first - 8)) + pointing[end:], SPEC, LIMITS)


# Bombs: little to send, much to decode.


def test_a_jpeg_of_millions_of_segments() -> None:
    data = photo_jpeg()
    with pytest.raises(CorruptMedia, match="segments"):
        decode(data[:2] + b"\xff\xfe\0\2" * 200_000 + data[2:], SPEC, LIMITS)


def test_a_jpeg_of_hundreds_of_scans() -> None:
    data = photo_jpeg(progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * 400 + data[-2:]
    with pytest.raises(MediaLimitExceeded, match="scans"):
        decode(bomb, SPEC, LIMITS)


def test_compressed_text_in_a_png_is_never_expanded() -> None:
    data = encode_picture(photo(64, 48), "PNG")
    bomb = zlib.compress(bytes(64 * 2**20), 9)
    chunks = b"".join(
        png_chunk(name, keyword + b"\0\0" + bomb)
        for name, keyword in ((b"zTXt", b"note"), (b"iCCP", b"profile"))
    )
    loaded = data[:33] + chunks * 5 + data[33:]
    np.testing.assert_array_equal(decode(loaded, SPEC, LIMITS).frames, decode(data, SPEC, LIMITS).frames)


LARGE: dict[str, Callable[[], bytes]] = {
    "png": lambda: png((b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))),
    "gif": lambda: _patched(encode_picture(photo(16, 16), "GIF"), 6, struct.pack("<HH", 20_000, 20_000)),
    "bmp": lambda: _patched(encode_picture(photo(16, 16), "BMP"), 18, struct.pack("<ii", 20_000, -20_000)),
    "webp": lambda: b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + (19_999).to_bytes(3, "little") * 2,
}


def _patched(data: bytes, place: int, content: bytes) -> bytes:
    return data[:place] + content + data[place + len(content) :]


@pytest.mark.parametrize("name", LARGE)
def test_headers_that_claim_enormous_pictures(name: str) -> None:
    with pytest.raises(MediaLimitExceeded, match="20000 x 20000 pixels"):
        decode(LARGE[name](), SPEC, LIMITS)


def test_a_claimed_length_of_hours_is_not_believed() -> None:
    data = bytearray(video_mp4(1, width=64, height=48, sound=False))
    movie_header = data.index(b"mvhd") + 4
    data[movie_header + 16 : movie_header + 20] = (36_000_000).to_bytes(4, "big")
    assert decode(bytes(data), SPEC, LIMITS).facts.duration_seconds == pytest.approx(1)


def test_decoding_stops_when_its_time_is_up() -> None:
    with pytest.raises(DecodeTimeout):
        decode(video_mp4(), SPEC, MediaLimits(decode_timeout_seconds=1e-6))


def test_too_many_streams() -> None:
    data = video_mp4(0.4, width=64, height=48)
    with pytest.raises(MediaError):
        decode(data, SPEC, MediaLimits(max_streams=1))


# Damage of any kind ends in rows or in one of our errors.

SEEDS = [
    photo_jpeg(64, 48),
    photo_jpeg(64, 48, progressive=True),
    encode_picture(photo(64, 48), "PNG"),
    encode_picture(photo(64, 48), "WEBP"),
    encode_picture(photo(64, 48), "TIFF", compression="tiff_lzw"),
    encode_picture(photo(64, 48), "GIF"),
    encode_picture(photo(64, 48), "BMP"),
    encode_picture(photo(64, 48), "AVIF"),
    video_mp4(0.4, width=64, height=48),
    encode_video(moving_pictures(8, 64, 48), "matroska", sound=speech(0.4)),
    encode_video(moving_pictures(8, 64, 48), "avi", "mpeg4"),
    encode_video(moving_pictures(8, 64, 48), "mpegts", "mpeg2video"),
    speech_mp3(0.5),
    tone_wav(0.3),
    encode_sound(tone(0.4), "flac", "flac", 44_100),
    encode_sound(speech(0.5, 48_000), "ogg", "libopus", 48_000),
    encode_sound(tone(0.4), "mp4", "aac", 44_100),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good file with bytes overwritten, taken out, repeated, or its end cut off."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["overwrite", "remove", "repeat", "cut"])):
            case "overwrite":
                content = draw(st.binary(min_size=1, max_size=8))
                data[place : place + len(content)] = content
            case "remove":
                del data[place : place + draw(st.integers(1, 64))]
            case "repeat":
                data[place:place] = data[place : place + draw(st.integers(1, 64))]
            case _:
                del data[max(8, place) :]
    return bytes(data)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_any_damage_ends_in_rows_or_in_an_error_of_ours(data: bytes) -> None:
    try:
        rows = decode(data, SPEC, MediaLimits(max_pixels=1_000_000, max_duration_seconds=60))
    except MediaError:
        return
    assert rows.frames.shape[1:] in ((32, 32, 3), (0, 0, 3))
    assert np.isfinite(rows.audio).all()
    assert len(rows.image_index) == len(rows.image_times) == len(rows.image_regions)


def test_metadata_that_is_no_text_is_no_obstacle() -> None:
    data = speech_mp3(0.5)
    size = 10 + 256
    tag = b"ID3\x03\0\0\0\0" + bytes([size - 10 >> 7, size - 10 & 0x7F])
    frame = b"TIT2" + struct.pack(">IH", 240, 0) + b"\x03" + b"\xff\xfe\xfa" * 79
    loaded = (tag + frame).ljust(size, b"\0") + data[data.index(b"\xff\xfb") :]
    assert len(decode(loaded, SPEC, LIMITS).audio) == 1


MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\0\0\0\x18ftypmp42", b"\x1a\x45\xdf\xa3")


@pytest.mark.parametrize("magic", MAGIC)
def test_noise_behind_a_magic(magic: bytes) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 4096, np.uint8).tobytes()
    with pytest.raises(MediaError) as refused:
        decode(magic + noise, SPEC, LIMITS)
    assert refused.value.message


def test_nothing_is_left_of_a_cut_container() -> None:
    with pytest.raises(CorruptMedia):
        decode(video_mp4(0.4, width=64, height=48)[:200], SPEC, LIMITS)
