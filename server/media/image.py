"""Photos to rows: the whole picture squeezed, and crops at native resolution."""

from dataclasses import replace

import av
import numpy as np

from server.errors import CorruptMedia, UnsupportedMedia
from server.media.container import open_container, tune_decoder
from server.media.failures import typed_errors
from server.media.limits import Budget
from server.media.orientation import UPRIGHT, Orientation, from_display_matrix
from server.media.pixels import PixelConverter
from server.media.probe import STILL_CODECS, Format
from server.media.sampling import choose_crops
from server.media.stills import read_still
from server.media.types import MediaFacts, MediaKind, MediaRows, RowSpec


def decode_still(data: bytes, found: Format, spec: RowSpec, budget: Budget) -> MediaRows:
    """Rows of a JPEG, PNG, WebP, BMP or TIFF, decoded once, without a demuxer.

    Raises:
        MediaError: see `server.media.decode.decode`.
    """
    still = read_still(data, found)
    budget.check_pixels(still.width, still.height)
    with typed_errors("the picture"):
        decoder = av.CodecContext.create(found.name, "r")
        tune_decoder(decoder, budget)
        # A picture that breaks off would be judged by its grey remainder.
        decoder.options = {**decoder.options, "err_detect": "explode"}
        frame = _first_frame(decoder, still.payload)
        facts = MediaFacts(MediaKind.IMAGE, video_codec=found.name, warnings=still.warnings)
        return image_rows(frame, still.orientation, facts, len(data), spec)


def decode_heif(data: bytes, found: Format, spec: RowSpec, budget: Budget) -> MediaRows:
    """Rows of an AVIF or HEIC of one item.

    Raises:
        UnsupportedMedia: its picture is assembled from tiles, of which FFmpeg returns only one.
        MediaError: see `server.media.decode.decode`.
    """
    with typed_errors("the picture"), open_container(data, found, budget) as container:
        stream = next(iter(container.streams.video), None)
        if stream is None:
            raise CorruptMedia("the file holds no picture")
        if any(av.stream.Disposition.dependent & part.disposition for part in container.streams.video):
            raise UnsupportedMedia("AVIF and HEIC made of tiles are not read here")
        codec = stream.codec_context.codec.canonical_name
        if codec not in STILL_CODECS:
            raise UnsupportedMedia(f"pictures coded as {codec} are not read here")
        budget.check_pixels(stream.width, stream.height)
        tune_decoder(stream.codec_context, budget)
        frame = next(iter(container.decode(stream)), None)
        if frame is None:
            raise CorruptMedia("the picture cannot be decoded")
        alpha = ("Transparency was ignored.",) if len(container.streams.video) > 1 else ()
        facts = MediaFacts(MediaKind.IMAGE, container.format.name, codec, warnings=alpha)
        return image_rows(frame, frame_orientation(frame), facts, len(data), spec)


def image_rows(
    frame: av.VideoFrame, orientation: Orientation, facts: MediaFacts, size_bytes: int, spec: RowSpec
) -> MediaRows:
    """Rows of one decoded picture; `facts` hold what only its reader knows."""
    width, height = orientation.stored_size(frame.width, frame.height)
    facts = replace(
        facts,
        size_bytes=size_bytes,
        width=width,
        height=height,
        rotation_degrees=orientation.rotation_degrees,
        mirrored=orientation.mirrored,
    )
    if not spec.want_images:
        return MediaRows(facts)
    converter = PixelConverter(still=True)
    pictures = [converter.scaled(frame, spec.width, spec.height, orientation)]
    regions = [(0.0, 0.0, 1.0, 1.0)]
    boxes = choose_crops(width, height, spec.width, spec.height, spec.crops)
    if boxes:
        native = converter.native(frame, orientation)
        pictures += [native[top:bottom, left:right] for left, top, right, bottom in boxes]
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


def frame_orientation(frame: av.VideoFrame) -> Orientation:
    """From the display matrix that comes with the frame, if one does."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return from_display_matrix(bytes(data))
    return UPRIGHT


def _first_frame(decoder: av.VideoCodecContext, payload: bytes) -> av.VideoFrame:
    frames = decoder.decode(av.Packet(payload)) or decoder.decode(None)
    if not frames:
        raise CorruptMedia("the picture cannot be decoded")
    return frames[0]
