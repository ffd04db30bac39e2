"""Self-blending: a picture blended with a changed copy of itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from training.arrays import LUMA, Picture
from training.corpus.publish import recompress
from training.forgery.masks import Mask, blend, picture_mask


def self_blend(rng: np.random.Generator, picture: Picture, either: bool = False) -> tuple[Picture, Mask]:
    """Blends the picture, uint8 [height, width, 3], with a copy that was moved and changed a little.

    After "Detecting Deepfakes with Self-Blended Images" (Shiohara and Yamasaki, CVPR 2022): the copy
    differs in colour, brightness, contrast and sharpness, is resized and shifted, and the blending
    mask is deformed and soft. What remains are the statistics that every face swap leaves: a
    blending boundary, and two sources that do not quite match. The paper puts the mask on a face; no
    face is looked for here.

    Args:
        either: as in the paper, change the surroundings instead of the copy in half of the draws.
    """
    forged = changed(rng, picture)
    if either and rng.random() < 0.5:
        picture, forged = forged, picture
    if rng.random() < 0.7:
        forged = moved(rng, forged)
    mask = picture_mask(rng, picture)
    return blend(picture, forged, mask), mask


def changed(rng: np.random.Generator, picture: Picture) -> Picture:
    """The same content from another source: colour, and then sharpness or compression."""
    shift = rng.normal(0, 10, 3) + rng.normal(0, 10)
    gain = np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.08, 3))
    image: NDArray[Any] = picture.astype(np.float32)
    luma = image @ np.array(LUMA, np.float32)
    image = luma[..., None] + rng.uniform(0.6, 1.4) * (image - luma[..., None])
    image = (image - 128) * gain + 128 + shift
    match rng.integers(6):
        case 0:
            sigma = rng.uniform(0.6, 2.0)
            image = ndimage.gaussian_filter(image, (sigma, sigma, 0), truncate=3)
        case 1:
            sigma = rng.uniform(0.6, 1.5)
            soft = ndimage.gaussian_filter(image, (sigma, sigma, 0), truncate=3)
            image = image + rng.uniform(0.5, 2.0) * (image - soft)
        case 2:
            image = image + rng.normal(0, rng.uniform(2, 8), image.shape)
        case _:
            pass
    finished = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    return recompress(finished, int(rng.integers(40, 95))) if rng.random() < 0.3 else finished


def moved(rng: np.random.Generator, picture: Picture) -> Picture:
    """Shifted, scaled and turned by a little, or taken from elsewhere in the picture; same size."""
    height, width = picture.shape[:2]
    reach = 0.3 if rng.random() < 0.2 else 0.03
    zoom = rng.uniform(0.93, 1.07)
    turn = rng.normal(0, 0.03)
    cos, sin = np.cos(turn) / zoom, np.sin(turn) / zoom
    dx, dy = rng.uniform(-reach, reach, 2) * (width, height)
    x, y = width / 2, height / 2
    resampling = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)[rng.integers(2)]
    pad_x, pad_y = width // 3, height // 3
    image = Image.fromarray(np.pad(picture, ((pad_y,) * 2, (pad_x,) * 2, (0, 0)), mode="reflect"))
    # The padded picture's origin is up and left of the old one.
    right, down = x - cos * x - sin * y + dx + pad_x, y + sin * x - cos * y + dy + pad_y
    inverse = (cos, sin, right, -sin, cos, down)
    return np.asarray(image.transform((width, height), Image.Transform.AFFINE, inverse, resampling))
