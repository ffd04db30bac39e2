"""From decoded frames to upright uint8 RGB of the wanted size, by swscale."""

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from server.errors import UnsupportedMedia
from server.media.cutting import cut, window
from server.media.orientation import UPRIGHT, Orientation
from server.media.sampling import Box

RGB = NDArray[np.uint8]

# AREA is the only fast filter without aliasing; the others keep colours within rounding. Without the last one
# swscale halves the colours of RGB before it scales to half a width or less, which also takes it longer.
_SCALING = (
    Interpolation.AREA
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
# AVColorSpace numbers that swscale converts as tagged: BT.709, FCC, 601 (two), 240M, BT.2020.
KNOWN_MATRICES = frozenset({1, 4, 5, 6, 7, 9})
UNSPECIFIED_MATRIX = 2
# YCgCo, those derived from primaries, and ICtCp: viewers know them, and swscale would take them for BT.601;
# BT.2020 of constant luminance it refuses.
_OTHER_MATRICES = frozenset({8, *range(10, 18)})
# PQ and HLG, as AVColorTransferCharacteristic.
_HIGH_DYNAMIC_RANGE = frozenset({16, 18})
_HD_LINES = 720
_BACKGROUND = 255
"""White: what a page shows behind a picture with transparency."""
# Grey from 16 to 235, which swscale takes for 0 to 255 whatever is said of it.
_FROM_NARROW = np.rint(np.clip((np.arange(256) - 16) * 255 / 219, 0, 255)).astype(np.uint8)
# What codecs make of one colour.
_FLAT = 8


def is_blank(picture: RGB) -> bool:
    """Whether it shows nothing, as before a film begins: of one colour nobody can tell who made it."""
    # A few pixels tell it of nearly all others, in a hundredth of the time.
    return _is_flat(picture[::16, ::16]) and _is_flat(picture)


def _is_flat(picture: RGB) -> bool:
    return bool((np.ptp(picture, (0, 1)) < _FLAT).all())


def check_colours(frame: av.VideoFrame) -> None:
    """Raises UnsupportedMedia if the frame would be converted to wrong colours."""
    if frame.colorspace in _OTHER_MATRICES and not frame.format.is_rgb:
        raise UnsupportedMedia(f"colours by matrix {int(frame.colorspace)} of H.273 are not read here")


def transfer_warnings(transfer: int) -> tuple[str, ...]:
    """What there is to say of pictures with this AVColorTransferCharacteristic."""
    return ("High dynamic range was not tone-mapped.",) if transfer in _HIGH_DYNAMIC_RANGE else ()


def is_narrow_grey(frame: av.VideoFrame) -> bool:
    """Whether its black is 16 and its white 235, though it has no colours."""
    return len(frame.format.components) == 1 and frame.color_range == ColorRange.MPEG


class PixelConverter:
    """Converts the frames of one medium; keeps swscale's tables between frames of equal format.

    Args:
        still: whether it is a photo.
        opaque: disregard transparency.
    """

    def __init__(self, still: bool = False, opaque: bool = False) -> None:
        self._still, self._opaque = still, opaque
        self._scaler = VideoReformatter()

    def scaled(
        self, frame: av.VideoFrame, width: int, height: int, orientation: Orientation = UPRIGHT
    ) -> RGB:
        """The whole upright picture squeezed to uint8 [height, width, 3]; alpha lies on white."""
        frame = self._flattened(frame)
        return orientation.upright(self._rgb(frame, *orientation.stored_size(width, height)))

    def native(self, frame: av.VideoFrame, boxes: list[Box], orientation: Orientation = UPRIGHT) -> list[RGB]:
        """Boxes of the upright picture at its own resolution, uint8 [H, W, 3]; alpha lies on white."""
        frame = self._flattened(frame)
        stored = [orientation.stored_box(box, frame.width, frame.height) for box in boxes]
        windows = [window(box, frame) for box in stored]
        parts = cut(frame, set(windows))
        converted = {place: self._rgb(part, part.width, part.height) for place, part in parts.items()}
        pictures = []
        for (left, top, right, bottom), place in zip(stored, windows, strict=True):
            x, y = place[:2]
            pictures.append(orientation.upright(converted[place][top - y : bottom - y, left - x : right - x]))
        return pictures

    def _rgb(self, frame: av.VideoFrame, width: int, height: int, layout: str = "rgb24") -> RGB:
        converted = self._scaler.reformat(
            frame,
            width,
            height,
            layout,
            src_colorspace=_source_matrix(frame, self._still),
            interpolation=_SCALING,
            threads=1,
        )
        pixels = np.asarray(converted.to_ndarray(), np.uint8)
        return _FROM_NARROW[pixels] if is_narrow_grey(frame) else pixels

    def _flattened(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The same where nothing is transparent, else what is seen of it on white."""
        if _is_coarse(frame):
            return av.VideoFrame.from_ndarray(self._rgb(frame, frame.width, frame.height), "rgb24")
        if self._opaque or not _has_alpha(frame):
            return frame
        rgba = self._rgb(frame, frame.width, frame.height, "rgba")
        colour, alpha = rgba[..., :3], rgba[..., 3:]
        if alpha.min() < 255:
            # Premultiplying in 16 bits stays exact to rounding and needs no float copy.
            blended = colour * alpha.astype(np.uint16) + _BACKGROUND * (255 - alpha.astype(np.uint16))
            colour = ((blended + 127) // 255).astype(np.uint8)
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(colour), "rgb24")


def _source_matrix(frame: av.VideoFrame, still: bool) -> Colorspace | None:
    if frame.format.is_rgb or frame.colorspace in KNOWN_MATRICES:
        return None
    return Colorspace.ITU601 if still or frame.height < _HD_LINES else Colorspace.ITU709


def _is_coarse(frame: av.VideoFrame) -> bool:
    """Of fewer than eight bits, which swscale brings to right levels only where it does not scale."""
    return not frame.format.has_palette and any(part.bits < 8 for part in frame.format.components)


def _has_alpha(frame: av.VideoFrame) -> bool:
    return frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
