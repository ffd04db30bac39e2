"""Photos to rows: the whole picture squeezed, and crops at native resolution."""

from dataclasses import replace
from typing import cast

import av
import numpy as np
from av.video.reformatter import ColorRange, ColorTrc

from server.errors import CorruptMedia, UnsupportedMedia
from server.media import probe
from server.media.container import Packet, codec_name, tune_decoder
from server.media.failures import typed_errors
from server.media.limits import Budget
from server.media.orientation import Orientation, frame_orientation
from server.media.pixels import (
    KNOWN_MATRICES,
    UNSPECIFIED_MATRIX,
    PixelConverter,
    is_blank,
    transfer_warnings,
)
from server.media.probe import Format
from server.media.reduced import decode_reduced_jpeg
from server.media.sampling import choose_crops
from server.media.still import Still
from server.media.still_headers import read_still
from server.media.types import MediaFacts, MediaKind, MediaRows, RowSpec


def decode_still(
    data: bytes, found: Format, spec: RowSpec, budget: Budget, reduced_jpeg: bool = False
) -> MediaRows:
    """Rows of a JPEG, PNG, WebP, BMP or TIFF, decoded once, without a demuxer.

    Args:
        reduced_jpeg: decode a JPEG at a fraction of its size, unless crops show it as it is.

    Raises:
        MediaError: see `server.media.decode.decode`.
    """
    still = read_still(data, found)
    budget.check_pixels(still.width, still.height)
    with typed_errors("the picture"):
        facts = MediaFacts(
            MediaKind.IMAGE, video_codec=found.name, size_bytes=len(data), warnings=still.warnings
        )
        if reduced_jpeg and found is probe.JPEG and not spec.crops:
            squeezed = still.orientation.stored_size(spec.width, spec.height)
            frame = decode_reduced_jpeg(still.payload, *squeezed)
            if frame is not None:
                return frame_rows(frame, still.orientation, facts, spec, stored=(still.width, still.height))
        frame = _still_frame(still, found, budget)
        return frame_rows(frame, still.orientation, facts, spec, opaque=still.opaque)


def _still_frame(still: Still, found: Format, budget: Budget) -> av.VideoFrame:
    decoder = cast("av.VideoCodecContext", av.CodecContext.create(found.name, "r"))
    tune_decoder(decoder, budget)
    if found is probe.JPEG:
        # One that breaks off would otherwise be judged by its grey remainder.
        decoder.options = {**decoder.options, "err_detect": "explode"}
    return _first_frame(decoder, av.Packet(still.payload))


def decode_only(stream: av.VideoStream, packet: Packet, spec: RowSpec, budget: Budget) -> MediaRows:
    """Rows of a picture that is the only one in its container.

    Raises:
        MediaError: see `server.media.decode.decode`.
    """
    frame = decode_picture(stream, packet, budget)
    facts = MediaFacts(MediaKind.IMAGE, video_codec=codec_name(stream))
    return frame_rows(frame, frame_orientation(frame), facts, spec)


def decode_picture(stream: av.VideoStream, packet: Packet, budget: Budget) -> av.VideoFrame:
    """The picture of a packet, in the colours that its container states."""
    budget.check_pixels(stream.width, stream.height)
    tune_decoder(stream.codec_context, budget)
    context = stream.codec_context
    stated = context.colorspace, context.color_range, context.color_trc
    frame = _first_frame(stream.codec_context, packet)
    state_colours(frame, *stated)
    return frame


def state_colours(frame: av.VideoFrame, matrix: int, value_range: int, transfer: int) -> None:
    """Gives a frame the colours that its container states: to viewers they count more than its codec's."""
    if value_range != ColorRange.UNSPECIFIED:
        frame.color_range = value_range
    if transfer != ColorTrc.UNSPECIFIED:
        frame.color_trc = transfer
    if frame.format.is_rgb or len(frame.format.components) < 3:
        return
    if matrix != UNSPECIFIED_MATRIX:
        frame.colorspace = matrix
    if frame.colorspace not in KNOWN_MATRICES | {UNSPECIFIED_MATRIX}:
        raise UnsupportedMedia(f"colours by matrix {int(frame.colorspace)} of H.273 are not read here")


def _first_frame(decoder: av.VideoCodecContext, packet: Packet) -> av.VideoFrame:
    frames = decoder.decode(packet) or decoder.decode(None)
    if not frames:
        raise CorruptMedia("the picture cannot be decoded")
    return frames[0]


def frame_rows(
    frame: av.VideoFrame,
    orientation: Orientation,
    facts: MediaFacts,
    spec: RowSpec,
    opaque: bool = False,
    stored: tuple[int, int] | None = None,
) -> MediaRows:
    """The whole picture and its crops, or none if it shows nothing or images are not wanted.

    Args:
        frame: decoded, not yet upright.
        facts: to be completed with the size and the turn.
        opaque: disregard transparency.
        stored: width and height in the file, if it was decoded at a fraction of its size.
    """
    width, height = orientation.stored_size(*(stored or (frame.width, frame.height)))
    facts = replace(
        facts,
        width=width,
        height=height,
        rotation_degrees=orientation.rotation_degrees,
        mirrored=orientation.mirrored,
    )
    if not spec.want_images:
        return MediaRows(facts)
    facts = facts.warned(*transfer_warnings(frame.color_trc))
    converter = PixelConverter(still=True, opaque=opaque)
    pictures = [converter.scaled(frame, spec.width, spec.height, orientation)]
    if is_blank(pictures[0]):
        return MediaRows(facts.warned("The picture shows nothing."))
    regions = [(0.0, 0.0, 1.0, 1.0)]
    boxes = choose_crops(width, height, spec.width, spec.height, spec.crops)
    if boxes:
        pictures += converter.native(frame, boxes, orientation)
        regions += [
            (left / width, top / height, right / width, bottom / height) for left, top, right, bottom in boxes
        ]
    return MediaRows(
        facts,
        frames=np.stack(pictures),
        image_index=np.arange(len(pictures), dtype=np.int64),
        image_times=np.zeros((len(pictures), 2)),
        image_regions=np.asarray(regions, np.float32),
    )
