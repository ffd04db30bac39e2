"""Up-sampling artefacts: what enlarging, and generators that enlarge, leave behind."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from training.arrays import Picture
from training.corpus.publish import SHRINKERS
from training.forgery.masks import Mask, blend, picture_mask

_ENLARGERS = (
    Image.Resampling.NEAREST,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)


def upsample_whole(rng: np.random.Generator, picture: Picture) -> tuple[Picture, Mask]:
    """The whole picture made small and enlarged again, uint8 [height, width, 3], same size."""
    return upsampled(rng, picture), np.ones(picture.shape[:2], np.float32)


def upsample_region(rng: np.random.Generator, picture: Picture) -> tuple[Picture, Mask]:
    """A generated face pasted into a photograph: only a masked part was enlarged."""
    mask = picture_mask(rng, picture)
    return blend(picture, upsampled(rng, picture), mask), mask


def upsampled(rng: np.random.Generator, picture: Picture) -> Picture:
    """The picture after losing resolution and getting it back in one of several ways."""
    match rng.integers(3):
        case 0:
            return enlarged(picture, float(rng.choice([1.5, 2, 2, 2, 3, 4, rng.uniform(1.4, 4)])), rng)
        case 1:
            return _decoded(rng, picture, stages=1)
        case _:
            return _decoded(rng, picture, stages=2)


def enlarged(picture: Picture, factor: float, rng: np.random.Generator) -> Picture:
    """Down by `factor` and up again with Pillow's filters."""
    height, width = picture.shape[:2]
    small = _smaller(rng, picture, factor)
    return np.asarray(small.resize((width, height), _ENLARGERS[rng.integers(len(_ENLARGERS))]))


def _smaller(rng: np.random.Generator, picture: Picture, factor: float) -> Image.Image:
    height, width = picture.shape[:2]
    size = max(8, round(width / factor)), max(8, round(height / factor))
    return Image.fromarray(picture).resize(size, SHRINKERS[rng.integers(len(SHRINKERS))])


def _decoded(rng: np.random.Generator, picture: Picture, stages: int) -> Picture:
    """Like the decoder of a generator: every stage doubles the size and filters what it made."""
    height, width = picture.shape[:2]
    factor = 2**stages
    padded = np.pad(picture, ((0, -height % factor), (0, -width % factor), (0, 0)), mode="edge")
    image: NDArray[Any] = np.asarray(_smaller(rng, padded, factor), np.float32)
    image = image[: padded.shape[0] // factor, : padded.shape[1] // factor]
    for _ in range(stages):
        image = _double(rng, image)
        if rng.random() < 0.4:
            soft = ndimage.gaussian_filter(image, (1, 1, 0), truncate=3)
            image = image + rng.uniform(0.3, 1.5) * (image - soft)
        if rng.random() < 0.3:
            image = image + rng.normal(0, rng.uniform(0.5, 3), image.shape)
    return np.asarray(np.clip(image[:height, :width] + 0.5, 0, 255), np.uint8)


def _double(rng: np.random.Generator, image: NDArray[Any]) -> NDArray[Any]:
    """Twice the size by repetition, by transposed convolution or by sub-pixel shuffling."""
    match rng.integers(3):
        case 0:
            doubled = image.repeat(2, axis=0).repeat(2, axis=1)
            return ndimage.uniform_filter(doubled, (2, 2, 0)) if rng.random() < 0.5 else doubled
        case 1:
            return _transposed_convolution(rng, image)
        case _:
            return _shuffled(rng, image)


def _transposed_convolution(rng: np.random.Generator, image: NDArray[Any]) -> NDArray[Any]:
    """Zeros between the pixels and a 3-tap or 4-tap filter that does not quite even them out.

    Odena, Dumoulin and Olah, "Deconvolution and Checkerboard Artifacts", 2016.
    """
    height, width = image.shape[:2]
    stuffed = np.zeros((2 * height, 2 * width, 3), np.float32)
    stuffed[::2, ::2] = image
    taps = np.array([0.5, 1, 0.5]) if rng.random() < 0.5 else np.array([0.25, 0.75, 0.75, 0.25])
    taps = taps * np.exp(rng.normal(0, rng.uniform(0.01, 0.12), len(taps)))
    kernel = np.outer(taps, taps).astype(np.float32)
    kernel *= 4 / kernel.sum()
    return np.stack([ndimage.convolve(stuffed[..., band], kernel, mode="mirror") for band in range(3)], -1)


def _shuffled(rng: np.random.Generator, image: NDArray[Any]) -> NDArray[Any]:
    """Sub-pixel convolution (Shi et al., 2016): four filters make the four phases, each its own way."""
    height, width = image.shape[:2]
    doubled = np.empty((2 * height, 2 * width, 3), np.float32)
    spread = rng.uniform(0.005, 0.05)
    for row in range(2):
        for column in range(2):
            shift = (row / 2 - 0.25, column / 2 - 0.25)
            taps = [np.array([max(0, -s), 1 - abs(s), max(0, s)]) for s in shift]
            kernel = (np.outer(*taps) + rng.normal(0, spread, (3, 3))).astype(np.float32)
            kernel /= kernel.sum()
            for band in range(3):
                doubled[row::2, column::2, band] = ndimage.correlate(image[..., band], kernel, mode="mirror")
    return doubled
