"""Moving pictures to rows: frames spread over the whole video, and clips of consecutive frames.

All packets are read first, which is cheap, so that times come from the packets and not from
headers. Then only the groups of pictures that hold wanted frames are decoded, and in them only
the frames that the wanted ones refer to.
"""

import av
import numpy as np
from numpy.typing import NDArray

from server.errors import CorruptMedia
from server.media.container import Demuxed, Packet, check_clear, check_codec, codec_name, tune_decoder
from server.media.frames import FrameReader
from server.media.limits import Budget
from server.media.pixels import RGB, is_blank, transfer_warnings
from server.media.probe import VIDEO_CODECS
from server.media.sampling import ClipPlan, choose_clips, choose_frames
from server.media.types import WHOLE_PICTURE, MediaFacts, MediaKind, MediaRows, RowSpec

Index = NDArray[np.int64]

# Whose transparency is a video of its own beside each packet, which FFmpeg's decoders do not look at.
_ALPHA_BESIDE = frozenset({"vp8", "vp9"})
_ALPHA_NUMBER = (1).to_bytes(8, "big")


def picture_rows(stream: av.VideoStream, demuxed: Demuxed, spec: RowSpec, budget: Budget) -> MediaRows:
    """Image rows and clips of a video; both index the same frames.

    Raises:
        CorruptMedia: no frame can be decoded.
        UnsupportedMedia: its codec is not allowed.
        DecodeTimeout, MediaLimitExceeded
    """
    check_codec(stream, VIDEO_CODECS)
    check_clear(demuxed.video_packets)
    if not demuxed.video_packets:
        raise CorruptMedia("the video has no pictures")
    budget.check_pixels(stream.width, stream.height)
    tune_decoder(stream.codec_context, budget)
    reader = FrameReader(stream, demuxed, (spec.width, spec.height), budget)
    budget.check_duration(reader.seconds)
    count, clip_count = spec.frames if spec.want_images else 0, spec.clips if spec.want_clips else 0
    plan = ClipPlan(clip_count, spec.clip_length, spec.clip_stride_seconds, spec.frames, spec.phase)
    images = choose_frames(reader.starts, reader.end, count, spec.phase)
    clips = choose_clips(reader.starts, reader.end, plan)
    pictures = reader.read(np.union1d(images, clips))
    rows = _rows(stream, reader, pictures, images, clips, spec, demuxed.span)
    if codec_name(stream) in _ALPHA_BESIDE and any(map(_has_alpha, demuxed.video_packets)):
        return rows.warned("Transparency was ignored.")
    return rows


def _has_alpha(packet: Packet) -> bool:
    # What lies beside it has a number (BlockAddID): others are timecodes or metadata.
    if not packet.has_sidedata("matroska_block_additional"):
        return False
    return bytes(packet.get_sidedata("matroska_block_additional"))[:8] == _ALPHA_NUMBER


def _rows(
    stream: av.VideoStream,
    reader: FrameReader,
    pictures: dict[int, RGB],
    images: Index,
    clips: Index,
    spec: RowSpec,
    span: tuple[float, float] | None,
) -> MediaRows:
    origin, end = span or (reader.origin, reader.end)
    end = max(end, reader.end)
    numbers = np.array(sorted(pictures), np.int64)
    shown = images[np.isin(images, numbers)]
    whole = clips[np.isin(clips, numbers).all(1)]
    facts = _facts(stream, reader, end - origin).warned(*_missing(reader, images, shown, clips, whole, spec))
    blank = np.asarray([number for number, picture in pictures.items() if is_blank(picture)], np.int64)
    if len(blank):
        facts = facts.warned(f"{len(blank)} of {len(pictures)} frames show nothing.")
        shown = np.setdiff1d(shown, blank)
        whole = whole[~np.isin(whole, blank).all(1)]
    frames = [pictures[number] for number in sorted(pictures)]
    begins, ends = reader.starts - origin, np.append(reader.starts[1:], reader.end) - origin
    return MediaRows(
        facts,
        frames=np.stack(frames) if frames else np.zeros((0, spec.height, spec.width, 3), np.uint8),
        image_index=np.searchsorted(numbers, shown),
        image_times=np.stack([begins[shown], ends[shown]], 1),
        image_regions=WHOLE_PICTURE.repeat(len(shown), 0),
        clip_index=np.searchsorted(numbers, whole),
        clip_times=np.stack([begins[whole[:, 0]], ends[whole[:, -1]]], 1),
    )


def picture_facts(stream: av.VideoStream) -> MediaFacts:
    """What the header says of pictures that are not decoded."""
    if not stream.codec_context:  # None for codecs that FFmpeg does not know
        return MediaFacts(MediaKind.VIDEO)
    return MediaFacts(
        MediaKind.VIDEO, video_codec=codec_name(stream), width=stream.width, height=stream.height
    )


def _facts(stream: av.VideoStream, reader: FrameReader, seconds: float) -> MediaFacts:
    width, height = reader.orientation.stored_size(*reader.size)
    return MediaFacts(
        MediaKind.VIDEO,
        video_codec=codec_name(stream),
        width=width,
        height=height,
        duration_seconds=seconds,
        frame_rate=len(reader.starts) / reader.seconds if reader.seconds else 0.0,
        rotation_degrees=reader.orientation.rotation_degrees,
        mirrored=reader.orientation.mirrored,
        warnings=transfer_warnings(reader.transfer),
    )


def _missing(
    reader: FrameReader, images: Index, shown: Index, clips: Index, whole: Index, spec: RowSpec
) -> tuple[str, ...]:
    warnings = []
    if len(shown) < len(images):
        warnings.append(f"{len(images) - len(shown)} of {len(images)} frames could not be decoded.")
    if spec.want_clips and spec.clips and not len(clips):
        warnings.append(
            f"The video's {len(reader.starts)} frames are too few for a clip of {spec.clip_length}."
        )
    if len(whole) < len(clips):
        warnings.append(f"{len(clips) - len(whole)} of {len(clips)} clips could not be decoded.")
    return tuple(warnings)
