"""Media made to cost much or to mislead: judged for what they are, or refused by code."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from deepfake.v1.detector_pb2_grpc import DetectorStub
from tests import media
from tests.failures import failure
from tests.media_requests import detect_request

JPEG = media.photo_jpeg(64, 48)
PNG = media.encode_picture(media.photo(64, 48), "PNG")
MP4 = media.video_mp4(0.4, width=64, height=48)
WAV = media.tone_wav(0.1)
ZIP = b"PK\x03\x04" + bytes(100)
MATROSKA = b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska\x18\x53\x80\x67\x01" + b"\xff" * 7


def _png_that_unpacks_to(size: int) -> bytes:
    header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    return media.png((b"IHDR", header), (b"IDAT", zlib.compress(bytes(size), 9)))


TEXT = media.png_chunk(b"tEXt", b"a\0b")

REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "png that never comes to its picture": ("CORRUPT_MEDIA", lambda: PNG[:33] + TEXT * 100_000),
    "jpeg of comments only": ("CORRUPT_MEDIA", lambda: JPEG[:2] + b"\xff\xfe\x00\x02" * 300_000),
    "mp4 of empty boxes": ("CORRUPT_MEDIA", lambda: MP4[:32] + b"\0\0\0\x08free" * 200_000),
    "mp3 of headers only": ("CORRUPT_MEDIA", lambda: b"\xff\xfb\x90\x00" * 200_000),
    "ogg of empty pages": ("CORRUPT_MEDIA", lambda: (b"OggS\0\2" + bytes(21)) * 50_000),
    "matroska without end": ("CORRUPT_MEDIA", lambda: MATROSKA + b"\xec\x80" * 300_000),
    "playlist": ("UNSUPPORTED_MEDIA", lambda: b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1/x.ts\n"),
    "concat script": ("UNSUPPORTED_MEDIA", lambda: b"ffconcat version 1.0\nfile '/etc/passwd'\n"),
    "svg": ("UNSUPPORTED_MEDIA", lambda: b"<svg><image href='file:///etc/passwd'/></svg>"),
    "archive before a photo": ("UNSUPPORTED_MEDIA", lambda: ZIP + JPEG),
    "page before a photo": ("UNSUPPORTED_MEDIA", lambda: b"<html>" + JPEG),
    "photo that says it is a video": ("CORRUPT_MEDIA", lambda: MP4[:32] + JPEG),
    "sound that says it is a photo": ("CORRUPT_MEDIA", lambda: b"RIFF\xff\xff\xff\xffWEBP" + WAV[12:]),
    "script behind a picture's magic": ("MEDIA_LIMIT_EXCEEDED", lambda: b"GIF89a#EXTM3U\nhttp://a/\n"),
}
READ: dict[str, tuple[str, Callable[[], bytes]]] = {
    "png that unpacks to far more than its picture": ("png", lambda: _png_that_unpacks_to(50 * 2**20)),
    "png with endless texts": ("png", lambda: PNG[:33] + TEXT * 50_000 + PNG[33:]),
    "photo with megabytes of metadata": (
        "mjpeg",
        lambda: JPEG[:2] + (b"\xff\xe1\xff\xff" + bytes(65533)) * 30 + JPEG[2:],
    ),
    "photo with an archive behind it": ("mjpeg", lambda: JPEG + ZIP),
    "photo with a video behind it": ("mjpeg", lambda: JPEG + MP4),
    "video with a photo behind it": ("h264", lambda: MP4 + JPEG),
}


def detect(stub: DetectorStub, content: bytes) -> Any:
    return stub.Detect.future(detect_request(content), timeout=60)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_medium_is_refused(stub: DetectorStub, name: str) -> None:
    code, make = REFUSED[name]
    assert failure(detect(stub, make())) == (grpc.StatusCode.INVALID_ARGUMENT, code)


@pytest.mark.parametrize("name", READ)
def test_what_is_a_medium_is_judged_by_its_first_bytes_and_nothing_else(
    stub: DetectorStub, name: str
) -> None:
    codec, make = READ[name]
    (facts,) = detect(stub, make()).result().media
    assert facts.video_codec == codec
