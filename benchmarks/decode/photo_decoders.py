"""What turns an encoded photo into 256 × 256 pixels of RGB: ours, and what else Python has."""

import importlib
import io
from dataclasses import replace
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


def photo_decoders(jpeg: bool) -> tuple[list[Decoder], list[str]]:
    """Those for JPEG or for other photos, the first being ours, and the names of those not installed."""
    found = [
        _ours("ours, in process"),
        _ours("ours, and four crops", replace(_SPEC, crops=4)),
        pooled("ours, pool", _SPEC, bytes, 0),
        in_process("Pillow", _pillow),
    ]
    if jpeg:
        found.append(in_process("Pillow, draft", _pillow_draft, reduced=True))
        if find_spec("simplejpeg") is not None:
            found.append(_ours("ours, reduced", reduced=True))
    others, missing = installed([_opencv, _simplejpeg, _turbojpeg] if jpeg else [_opencv], jpeg)
    return [*found, *others], missing


def _ours(name: str, spec: RowSpec = _SPEC, reduced: bool = False) -> Decoder:
    function = decode_reduced if reduced else decode
    return in_process(name, lambda data: function(data, spec, LIMITS).frames[0], reduced)


def reference(data: bytes) -> RGB:
    """Every pixel of the photo, averaged over the area of each pixel that is left."""
    return _pillow(data)


def encoded(pixels: RGB, file_format: str, **options: int) -> bytes:
    """A photo as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


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
    reduced = in_process("OpenCV, reduced", read(cv2.IMREAD_REDUCED_COLOR_2), reduced=True)
    return [full, reduced] if jpeg else [full]


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
