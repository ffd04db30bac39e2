"""What a file is, from its bytes alone; and what is never opened."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import CorruptMedia, MediaError, UnsupportedMedia
from server.media import probe
from server.media.types import MediaKind
from tests.media import (
    encode_picture,
    encode_sound,
    encode_video,
    moving_pictures,
    photo,
    photo_jpeg,
    speech_mp3,
    tone,
    tone_wav,
)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF"])
def test_pictures(file_format: str) -> None:
    assert probe.identify(encode_picture(photo(32, 32), file_format)).kind is MediaKind.IMAGE


@pytest.mark.parametrize(
    ("container", "codec", "name"),
    [
        ("mp4", "mpeg4", "mov,mp4,m4a,3gp,3g2,mj2"),
        ("mov", "mpeg4", "mov,mp4,m4a,3gp,3g2,mj2"),
        ("matroska", "mpeg4", "matroska,webm"),
        ("avi", "mpeg4", "avi"),
        ("mpegts", "mpeg2video", "mpegts"),
        ("mpeg", "mpeg2video", "mpeg"),
        ("flv", "flv", "flv"),
        ("asf", "wmv2", "asf"),
    ],
)
def test_containers(container: str, codec: str, name: str) -> None:
    data = encode_video(moving_pictures(4, 64, 48), container, codec)
    assert probe.identify(data).name == name


@pytest.mark.parametrize(
    ("container", "codec"), [("flac", "flac"), ("aiff", "pcm_s16be"), ("adts", "aac"), ("w64", "pcm_s16le")]
)
def test_sound(container: str, codec: str) -> None:
    data = encode_sound(tone(0.5), container, codec, 44_100)
    assert probe.identify(data).kind is MediaKind.AUDIO


def test_mp3_with_and_without_a_tag() -> None:
    tagged = speech_mp3(0.5)
    size = 10 + sum(byte << shift for byte, shift in zip(tagged[6:10], (21, 14, 7, 0), strict=True))
    assert tagged.startswith(b"ID3")
    assert probe.identify(tagged).name == probe.identify(tagged[size:]).name == "mp3"


def test_an_mp3_may_have_several_tags() -> None:
    empty_tag = b"ID3\x03" + bytes(6)
    assert probe.identify(3 * empty_tag + speech_mp3(0.5)).name == "mp3"


def test_the_name_of_a_format_is_not_asked_for() -> None:
    assert probe.identify(tone_wav(0.1)).name == "wav"
    assert probe.identify(photo_jpeg(16, 16)) is probe.JPEG


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:1/a.ts\n", "playlist"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "concat script"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", "session description"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"  <?xml version='1.0'?><MPD/>", "XML"),
        (b"\xff\x0a\x00\x00", "JPEG XL"),
        (b"%PDF-1.7", "PDF"),
        (b"hello, this is text", "unknown format"),
        (b"\x00", "unknown format"),
        (struct.pack(">I4s4s", 24, b"ftyp", b"avis"), "image sequence"),
    ],
)
def test_everything_else_is_refused_by_name(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedMedia, match=name):
        probe.identify(data)


def test_no_bytes() -> None:
    with pytest.raises(CorruptMedia, match="empty"):
        probe.identify(b"")


@given(st.binary(max_size=2000))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    with contextlib.suppress(MediaError):
        assert probe.identify(data).name
