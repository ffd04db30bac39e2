"""What turns an encoded photo into 256 × 256 pixels of RGB: ours, and what else Python has."""

import importlib
import io
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.decode.decoder import (
    LIMITS,
    RGB,
    SIDE,
    Decode,
    Decoder,
    in_process,
    installed,
    opencv,
    pooled,
)
from server.media.decode import decode, decode_reduced
from server.media.types import RowSpec

_SPEC = RowSpec(height=SIDE, width=SIDE)
_WITH_CROPS = RowSpec(height=SIDE, width=SIDE, crops=4)


def photo_decoders(jpeg: bool) -> tuple[list[Decoder], list[str]]:
    """Those for JPEG or for other photos, the first being ours, and the names of those not installed."""
    found = [
        in_process("ours, in process", lambda data: decode(data, _SPEC, LIMITS).frames[0]),
        in_process("ours, and four crops", lambda data: decode(data, _WITH_CROPS, LIMITS).frames[0]),
        pooled("ours, pool", _SPEC, bytes, 0),
        in_process("Pillow", _pillow),
    ]
    if jpeg:
        found.append(in_process("Pillow, draft", _pillow_draft, reduced=True))
        if find_spec("simplejpeg") is not None:
            found.append(in_process("ours, reduced", _ours_reduced, reduced=True))
    others, missing = installed([_opencv, _simplejpeg, _turbojpeg] if jpeg else [_opencv], jpeg)
    return [*found, *others], missing


def reference(data: bytes) -> RGB:
    """Every pixel of the photo, averaged over the area of each pixel that is left."""
    return _pillow(data)


def encoded(pixels: RGB, file_format: str, **options: int) -> bytes:
    """A photo as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def _ours_reduced(data: bytes) -> RGB:
    picture: RGB = decode_reduced(data, _SPEC, LIMITS).frames[0]
    return picture


def _pillow(data: bytes) -> RGB:
    photo = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BOX))


def _pillow_draft(data: bytes) -> RGB:
    photo = Image.open(io.BytesIO(data))
    photo.draft("RGB", (SIDE, SIDE))
    return np.asarray(photo.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))


def _opencv(jpeg: bool) -> list[Decoder]:
    cv2, shrunk = opencv()

    def read(flags: int) -> Decode:
        return lambda data: shrunk(cv2.imdecode(np.frombuffer(data, np.uint8), flags))[..., ::-1]

    full = in_process("OpenCV", read(cv2.IMREAD_COLOR))
    return [full, in_process("OpenCV, reduced", read(cv2.IMREAD_REDUCED_COLOR_2), reduced=True)][: 1 + jpeg]


def _simplejpeg(_: bool) -> list[Decoder]:
    simplejpeg = importlib.import_module("simplejpeg")
    _, shrunk = opencv()
    sides = {"min_height": SIDE, "min_width": SIDE, "min_factor": 1}
    return [
        in_process("simplejpeg + OpenCV", lambda data: shrunk(simplejpeg.decode_jpeg(data))),
        in_process(
            "simplejpeg, scaled + OpenCV",
            lambda data: shrunk(simplejpeg.decode_jpeg(data, **sides)),
            reduced=True,
        ),
    ]


def _turbojpeg(_: bool) -> list[Decoder]:
    turbo = importlib.import_module("turbojpeg").TurboJPEG()
    _, shrunk = opencv()

    def read(**options: Any) -> Decode:
        return lambda data: shrunk(turbo.decode(data, pixel_format=0, **options))

    return [
        in_process("PyTurboJPEG + OpenCV", read()),
        in_process("PyTurboJPEG, 1/2 + OpenCV", read(scaling_factor=(1, 2)), reduced=True),
    ]
