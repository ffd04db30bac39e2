"""What turns an encoded photo into 256 × 256 pixels of RGB: ours, and what else Python has."""

import importlib
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from server.media.decode import decode, decode_reduced
from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.types import RowSpec

RGB = NDArray[np.uint8]
Decode = Callable[[Any], RGB]

SIDE = 256
LIMITS = MediaLimits()
_SPEC = RowSpec(height=SIDE, width=SIDE)
_WITH_CROPS = RowSpec(height=SIDE, width=SIDE, crops=4)


@dataclass(frozen=True, slots=True)
class Decoder:
    """Attributes:
    opened: with as many media at once as it is told, gives what decodes one.
    reduced: whether it leaves out detail of the photo before it scales.
    """

    name: str
    opened: Callable[[int], AbstractContextManager[Decode]]
    reduced: bool = False


def in_process(name: str, function: Decode, reduced: bool = False) -> Decoder:
    """One that threads call at will."""
    return Decoder(name, lambda _: nullcontext(function), reduced)


def pooled(name: str, spec: RowSpec, read: Callable[[Any], bytes], picked: int | slice) -> Decoder:
    """Our processes, with the way to them and back."""

    @contextmanager
    def opened(workers: int) -> Iterator[Decode]:
        with closing(DecodePool(workers, LIMITS)) as pool:
            yield lambda medium: pool.submit(read(medium), spec, None, 60.0).result().frames[picked]

    return Decoder(name, opened)


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
    missing = []
    libraries = [_opencv, _simplejpeg, _turbojpeg] if jpeg else [_opencv]
    for library in libraries:
        try:
            found += library(jpeg)
        except (ImportError, RuntimeError) as error:
            # PyTurboJPEG finds its library only where the system has it.
            missing.append(f"{library.__name__.removeprefix('_')} ({error})")
    return found, missing


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
    shrunk, cv2 = _shrinking()

    def read(flags: int) -> Decode:
        return lambda data: shrunk(cv2.imdecode(np.frombuffer(data, np.uint8), flags))[..., ::-1]

    full = in_process("OpenCV", read(cv2.IMREAD_COLOR))
    return [full, in_process("OpenCV, reduced", read(cv2.IMREAD_REDUCED_COLOR_2), reduced=True)][: 1 + jpeg]


def _simplejpeg(_: bool) -> list[Decoder]:
    simplejpeg = importlib.import_module("simplejpeg")
    shrunk, _cv2 = _shrinking()
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
    shrunk, _cv2 = _shrinking()

    def read(**options: Any) -> Decode:
        return lambda data: shrunk(turbo.decode(data, pixel_format=0, **options))

    return [
        in_process("PyTurboJPEG + OpenCV", read()),
        in_process("PyTurboJPEG, 1/2 + OpenCV", read(scaling_factor=(1, 2)), reduced=True),
    ]


def _shrinking() -> tuple[Callable[[RGB], RGB], Any]:
    cv2 = importlib.import_module("cv2")
    # Photos are decoded side by side, as everybody here does.
    cv2.setNumThreads(1)
    return lambda pixels: cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2
