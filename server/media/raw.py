"""Media that came decoded to rows: the same choice of clips and windows as for files."""

import numpy as np
from numpy.typing import NDArray

from server.errors import InvalidRequest
from server.media.sampling import ClipPlan, choose_clips, choose_windows
from server.media.types import WHOLE_PICTURE, MediaFacts, MediaKind, MediaRows, RowSpec
from server.media.windows import rows_of_pieces, spans_of

# The one row of a decoded photo.
_FIRST = np.zeros(1, np.int64)
_NO_TIME = np.zeros((1, 2))


def raw_frame_rows(pixels: NDArray[np.uint8], spec: RowSpec) -> MediaRows:
    """Rows of decoded pictures: one is a photo, several are frames of a video, a clip stride apart.

    Args:
        pixels: uint8 RGB [F, H, W, 3].

    Raises:
        InvalidRequest: not of the model's size.
    """
    count, height, width, _ = pixels.shape
    if (height, width) != (spec.height, spec.width):
        raise InvalidRequest(
            f"decoded frames are {width}x{height}, the model needs {spec.width}x{spec.height}",
            "GetModel tells the size; or send the encoded file.",
        )
    if count == 1:
        return _photo_rows(pixels, spec)
    seconds = np.arange(count + 1) * spec.clip_stride_seconds
    plan = ClipPlan(spec.clips if spec.want_clips else 0, spec.clip_length, spec.clip_stride_seconds, count)
    clips = choose_clips(seconds[:-1], float(seconds[-1]), plan)
    images = np.arange(count if spec.want_images else 0, dtype=np.int64)
    return MediaRows(
        MediaFacts(MediaKind.VIDEO, width=width, height=height, duration_seconds=float(seconds[-1])),
        frames=pixels,
        image_index=images,
        image_times=np.stack([seconds[images], seconds[images + 1]], 1),
        image_regions=WHOLE_PICTURE.repeat(len(images), 0),
        clip_index=clips,
        clip_times=np.stack([seconds[clips[:, 0]], seconds[clips[:, -1] + 1]], 1),
    )


def _photo_rows(pixels: NDArray[np.uint8], spec: RowSpec) -> MediaRows:
    facts = MediaFacts(MediaKind.IMAGE, width=spec.width, height=spec.height)
    if not spec.want_images:
        return MediaRows(facts, frames=pixels)
    return MediaRows(
        facts, frames=pixels, image_index=_FIRST, image_times=_NO_TIME, image_regions=WHOLE_PICTURE
    )


def raw_audio_rows(pcm: NDArray[np.float32], sample_rate: int, spec: RowSpec) -> MediaRows:
    """Rows of decoded mono sound.

    Args:
        pcm: float32 [N] in [-1, 1].
        sample_rate: in Hz.

    Raises:
        InvalidRequest: not at the model's sample rate.
    """
    if sample_rate != spec.sample_rate:
        raise InvalidRequest(
            f"decoded audio is at {sample_rate} Hz, the model needs {spec.sample_rate} Hz",
            "GetModel tells the rate; or send the encoded file.",
        )
    facts = MediaFacts(
        MediaKind.AUDIO, duration_seconds=len(pcm) / sample_rate, sample_rate=sample_rate, channels=1
    )
    if not spec.want_audio:
        return MediaRows(facts)
    starts = choose_windows(len(pcm), spec.window_samples, spec.windows)
    pieces = [pcm[start : start + spec.window_samples] for start in starts]
    return rows_of_pieces(facts, pieces, spans_of(pieces, starts, sample_rate), spec)
