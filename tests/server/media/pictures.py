"""Photos as they are judged at their own size, and as Pillow shows them."""

import io

import numpy as np
from PIL import Image, ImageOps

from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import MediaKind, RowSpec
from tests.media import Picture


def native(data: bytes) -> Picture:
    """The upright picture at its own size: nothing is scaled when the rows are as large."""
    limits = MediaLimits()
    facts = decode(data, RowSpec(want_images=False), limits, MediaKind.IMAGE).facts
    (whole,) = decode(data, RowSpec(facts.height, facts.width), limits, MediaKind.IMAGE).frames
    return np.asarray(whole, np.uint8)


def pillow(data: bytes) -> Picture:
    """The upright picture that Pillow shows."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
