"""Forged clips: a part that is made anew for every frame does not hold still."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from training.arrays import Picture
from training.draw import log_uniform
from training.forgery.masks import Mask, blend, region_of, soft_mask
from training.forgery.resample import upsampled
from training.sample import WHOLE, Region

ClipForgery = Callable[[np.random.Generator, list[Picture]], tuple[list[Picture], Region]]


def flicker(rng: np.random.Generator, frames: list[Picture]) -> tuple[list[Picture], Region]:
    """Blends a copy into every frame whose colour, place and outline are drawn anew each time.

    Frame-wise face swaps do this: every frame is right, and the sequence is not.
    """
    mask = soft_mask(rng, *frames[0].shape[:2])
    strength = log_uniform(rng, 0.5, 2.5)
    tone = rng.normal(0, 6, 3)
    drift = rng.normal(0, 2.0 * strength, 3)
    slip = rng.uniform(0, 1.5) * strength
    breathe = rng.uniform(0, 0.03) * strength
    missing = rng.uniform(0, 0.25) * (rng.random() < 0.4)
    forged = []
    for frame in frames:
        if rng.random() < missing:
            forged.append(frame)
            continue
        shift = tone + rng.normal(0, 3.0 * strength) + rng.normal(0, np.abs(drift))
        gain = 1 + rng.normal(0, 0.02 * strength)
        copy = np.clip(_shifted(frame, rng.normal(0, slip, 2)) * gain + shift + 0.5, 0, 255).astype(np.uint8)
        forged.append(blend(frame, copy, _jittered(rng, mask, breathe)))
    return forged, region_of(mask)


def texture_flicker(rng: np.random.Generator, frames: list[Picture]) -> tuple[list[Picture], Region]:
    """Fine detail of a part is made anew: noise and sharpness that live for one frame."""
    mask = soft_mask(rng, *frames[0].shape[:2])
    forged = []
    grain = log_uniform(rng, 3, 12)
    coarse = log_uniform(rng, 0.8, 6)
    for frame in frames:
        noise = ndimage.gaussian_filter(rng.normal(0, 1, frame.shape), (coarse, coarse, 0))
        copy = frame + noise * grain / max(float(noise.std()), 1e-6)
        copy = ndimage.gaussian_filter(copy, (rng.uniform(0, 1.5),) * 2 + (0,))
        forged.append(blend(frame, np.clip(copy + 0.5, 0, 255).astype(np.uint8), mask))
    return forged, region_of(mask)


def frame_upsampling(rng: np.random.Generator, frames: list[Picture]) -> tuple[list[Picture], Region]:
    """Every frame is enlarged from a small one on its own, in another way or not at all; same sizes."""
    whole = rng.random() < 0.4
    mask = None if whole else soft_mask(rng, *frames[0].shape[:2])
    forged = []
    steady = int(rng.integers(2**31)) if rng.random() < 0.3 else None
    for frame in frames:
        draw = rng if steady is None else np.random.default_rng(steady)
        copy = upsampled(draw, _shifted(frame, rng.normal(0, 0.5, 2)))
        forged.append(copy if mask is None else blend(frame, copy, mask))
    return forged, WHOLE if mask is None else region_of(mask)


def _shifted(frame: Picture, offset: NDArray[np.float64]) -> Picture:
    """Moved by a fraction of a pixel; `offset` is right, down."""
    height, width = frame.shape[:2]
    inverse = (1, 0, float(offset[0]), 0, 1, float(offset[1]))
    image = Image.fromarray(frame)
    moved = image.transform((width, height), Image.Transform.AFFINE, inverse, Image.Resampling.BICUBIC)
    border = int(np.ceil(np.abs(offset).max())) + 1
    result = frame.copy()
    inner = slice(border, height - border), slice(border, width - border)
    result[inner] = np.asarray(moved)[inner]
    return result


def _jittered(rng: np.random.Generator, mask: Mask, amount: float) -> Mask:
    """The mask moved and scaled by a random share `amount` of its picture's size."""
    if amount == 0:
        return mask
    height, width = mask.shape
    zoom = 1 + rng.normal(0, amount)
    dx, dy = rng.normal(0, amount / 2, 2) * (width, height)
    inverse = (zoom, 0, width / 2 * (1 - zoom) + dx, 0, zoom, height / 2 * (1 - zoom) + dy)
    moved = Image.fromarray(mask).transform(
        (width, height), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR
    )
    return np.clip(np.asarray(moved, np.float32), 0, 1)
