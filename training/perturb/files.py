"""A media file after a perturbation: decoded, changed, and encoded so that nothing else changes much."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation
from PIL import Image

from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.mixing import mono
from server.media.orientation import frame_orientation
from server.media.pixels import PixelConverter
from server.media.types import MediaKind, RowSpec
from training.corpus.publish import REPRODUCIBLE, x264_options
from training.corpus.sound_files import encode
from training.perturb.pictures import Frames
from training.perturb.sound import unclipped
from training.perturb.table import PICTURES, SOUND

MOST_SECONDS = 10.0
"""Of a video: perturbing frame by frame is slow, and a detector samples only few of them."""
_ALMOST_LOSSLESS = 6
_MATRIX = Colorspace.ITU709
_ROUNDED = Interpolation.BICUBIC | Interpolation.ACCURATE_RND
_ONE_PICTURE = RowSpec(height=1, width=1, crops=0, want_clips=False, want_audio=False)


def perturbed(content: bytes, kind: str, name: str | None, level: int, seed: int) -> bytes:
    """The file after one perturbation: PNG, Matroska with H.264 and the sound track as it was, or WAV.

    Args:
        kind: image, video or audio.
        name: of the perturbation; None for decoding and encoding alone, to compare with.
        level: 1 (mild) and up.

    Raises:
        MediaError, OSError, ValueError: the file cannot be decoded (FFmpegError of PyAV is one of them).
    """
    rng = np.random.default_rng(seed)
    match kind:
        case "image":
            return _photo(content, name, level, rng)
        case "video":
            return _video(content, name, level, rng)
        case _:
            return _sound(content, name, level, rng)


def _photo(content: bytes, name: str | None, level: int, rng: np.random.Generator) -> bytes:
    out = BytesIO()
    Image.fromarray(_changed(_picture(content), name, level, rng)[0]).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _picture(content: bytes) -> Frames:
    """The photo as the server sees it: Pillow drops transparency, and clips what has 16 bits."""
    limits = MediaLimits()
    facts = decode(content, replace(_ONE_PICTURE, want_images=False), limits, MediaKind.IMAGE).facts
    whole = replace(_ONE_PICTURE, height=facts.height, width=facts.width)
    frames = decode(content, whole, limits, MediaKind.IMAGE).frames
    if not len(frames):
        raise ValueError("the picture shows nothing")
    return frames


def _video(content: bytes, name: str | None, level: int, rng: np.random.Generator) -> bytes:
    with av.open(BytesIO(content), "r") as source:
        decoded = [frame for frame in source.decode(video=0) if _early(frame.time)]
        rate = source.streams.video[0].average_rate
    frames = _changed(np.stack(list(_upright(decoded))), name, level, rng)
    # 4:2:0 wants even sides.
    frames = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    out = BytesIO()
    with av.open(BytesIO(content), "r") as source, av.open(out, "w", format="matroska") as target:
        stream = target.add_stream("libx264", rate=rate or 25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = _MATRIX
        stream.time_base = decoded[0].time_base or Fraction(1, 25)
        stream.codec_context.thread_count = 1
        stream.options = {**x264_options(_ALMOST_LOSSLESS), **REPRODUCIBLE}
        sound = [(track, target.add_stream_from_template(track)) for track in source.streams.audio[:1]]
        for pixels, original in zip(frames, decoded, strict=True):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            # Else FFmpeg would take BT.601 at any size, and say nothing, where players take HD for BT.709.
            frame = picture.reformat(format="yuv420p", dst_colorspace=_MATRIX, interpolation=_ROUNDED)
            frame.pts, frame.time_base = original.pts, original.time_base
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
        for track, copy in sound:
            for packet in source.demux(track):
                if packet.dts is not None and _early(float(packet.dts * packet.time_base)):
                    packet.stream = copy
                    target.mux(packet)
    return out.getvalue()


def _upright(frames: Iterable[av.VideoFrame]) -> Iterator[Frames]:
    """Each as the server sees it: in its own colours, and what is transparent on white."""
    converter = PixelConverter()
    for frame in frames:
        orientation = frame_orientation(frame)
        yield converter.scaled(frame, *orientation.stored_size(frame.width, frame.height), orientation)


def _sound(content: bytes, name: str | None, level: int, rng: np.random.Generator) -> bytes:
    with av.open(BytesIO(content), "r") as source:
        pcm = mono(source.decode(audio=0)).astype(np.float64)
        rate = source.streams.audio[0].rate
    chosen = next((entry for entry in SOUND if entry.name == name), None)
    if chosen is not None:
        pcm = chosen.apply(rng, pcm, rate, chosen.levels[level - 1])
    out = BytesIO()
    encode(unclipped(pcm), rate, out, "wav")
    return out.getvalue()


def _changed(frames: Frames, name: str | None, level: int, rng: np.random.Generator) -> Frames:
    chosen = next((entry for entry in PICTURES if entry.name == name), None)
    return frames if chosen is None else chosen.apply(rng, frames, chosen.levels[level - 1])


def _early(seconds: float | None) -> bool:
    return seconds is None or seconds < MOST_SECONDS
