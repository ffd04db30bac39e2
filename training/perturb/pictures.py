"""What befalls pictures on their way, whether they were forged or not; the same for all frames of a clip.

All take and give uint8 [T, H, W, 3]; a photo is one frame. `level` is in each one's own unit.
"""

import io

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from scipy import ndimage

from training.corpus.publish import MACROBLOCK, SHRINKERS, encode_clip, recompress, x264_options

Frames = NDArray[np.uint8]
_RATE = 25


def jpeg(rng: np.random.Generator, frames: Frames, level: float) -> Frames:
    """JPEG of quality `level`, with or without fewer colours than pixels."""
    subsampling = int(rng.choice([0, 2]))
    return np.stack([recompress(frame, int(level), subsampling) for frame in frames])


def h264(rng: np.random.Generator, frames: Frames, level: float) -> Frames:  # noqa: ARG001  nothing is drawn
    """H.264 with constant rate factor `level`, 0 to 51."""
    height, width = frames.shape[1:3]
    edges = ((0, 0), (0, -height % MACROBLOCK), (0, -width % MACROBLOCK), (0, 0))
    padded = np.pad(frames, edges, mode="edge")
    # With its look-ahead, x264 does not always give small pictures the same bytes.
    options = x264_options(level) | {"tune": "zerolatency"}
    with av.open(io.BytesIO(encode_clip(list(padded), _RATE, "libx264", options)), "r") as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.asarray(np.stack(decoded)[:, :height, :width], np.uint8)


def rescale(rng: np.random.Generator, frames: Frames, level: float) -> Frames:
    """Made smaller `level` times, and as large as before again."""
    height, width = frames.shape[1:3]
    small = max(2, round(width / level)), max(2, round(height / level))
    shrinker = SHRINKERS[rng.integers(len(SHRINKERS))]
    enlarger = Image.Resampling(int(rng.choice([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])))
    images = (Image.fromarray(frame).resize(small, shrinker) for frame in frames)
    return np.stack([np.asarray(image.resize((width, height), enlarger)) for image in images])


def blur(rng: np.random.Generator, frames: Frames, level: float) -> Frames:  # noqa: ARG001  nothing is drawn
    """Gaussian blur; `level` is its standard deviation in pixels."""
    blurred = np.empty_like(frames)
    # In 8 bits, each of its two passes would cut off what is behind the point, and make all darker.
    for number, frame in enumerate(frames):
        blurred[number] = np.rint(ndimage.gaussian_filter(frame, (level, level, 0), output=np.float32))
    return blurred


def noise(rng: np.random.Generator, frames: Frames, level: float) -> Frames:
    """Gaussian noise, new in every frame; `level` is its standard deviation in 8-bit steps."""
    noisy = np.empty_like(frames)
    # One by one: of a whole video, the noise alone would take gigabytes.
    for number, frame in enumerate(frames):
        grain = rng.standard_normal(frame.shape, np.float32) * level
        noisy[number] = np.clip(np.rint(frame + grain), 0, 255)
    return noisy


def colour(rng: np.random.Generator, frames: Frames, level: float) -> Frames:
    """Brightness, contrast and saturation, each up or down by the factor 1 + `level`."""
    factors = [(1 + level) ** int(sign) for sign in rng.choice([-1, 1], 3)]

    def toned(frame: Frames) -> Frames:
        image = Image.fromarray(frame)
        for enhance, factor in zip(
            (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors, strict=True
        ):
            image = enhance(image).enhance(factor)
        return np.asarray(image)

    return np.stack([toned(frame) for frame in frames])


def crop(rng: np.random.Generator, frames: Frames, level: float) -> Frames:
    """A part somewhere in the picture; `level` is the share of each side that stays."""
    height, width = frames.shape[1:3]
    high, wide = (max(2, round(side * level)) for side in (height, width))
    top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
    return frames[:, top : top + high, left : left + wide]
