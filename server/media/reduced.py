"""JPEGs decoded at a fraction of their size by libjpeg-turbo, which then transforms fewer coefficients.

FFmpeg's own way to do so, `lowres`, takes longer than decoding all of them.
"""

import importlib

import av

_FOREIGN_COLOURS = frozenset(("CMYK", "YCCK"))
_END_MARKER = b"\xff\xd9"


def decode_reduced_jpeg(payload: bytes, width: int, height: int) -> av.VideoFrame | None:
    """The JPEG at the smallest of one to eight eighths of its size that is not below width x height.

    Returns:
        RGB; None if it is in colours that only FFmpeg converts (CMYK).

    Raises:
        ValueError: it is damaged or breaks off.
        ModuleNotFoundError: the extra `reduced-jpeg` is not installed.
    """
    # Here, because it is an extra.
    simplejpeg = importlib.import_module("simplejpeg")
    if simplejpeg.decode_jpeg_header(payload)[2] in _FOREIGN_COLOURS:
        return None
    if not payload.endswith(_END_MARKER):
        payload += _END_MARKER
    pixels = simplejpeg.decode_jpeg(payload, "RGB", min_width=width, min_height=height, min_factor=1)
    return av.VideoFrame.from_ndarray(pixels, "rgb24")
