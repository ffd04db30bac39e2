"""Parts that do not belong: noise, colour or compression that differs from the surroundings."""

import numpy as np
from scipy import ndimage

from training.arrays import Picture
from training.corpus.publish import recompress
from training.draw import log_uniform
from training.forgery.masks import Mask, blend, picture_mask


def noise_region(rng: np.random.Generator, picture: Picture) -> tuple[Picture, Mask]:
    """Noise added to a part, or taken away from it."""
    mask = picture_mask(rng, picture)
    if rng.random() < 0.35:
        forged = ndimage.median_filter(picture, (3, 3, 1)) if rng.random() < 0.5 else _smoothed(rng, picture)
    else:
        forged = _noisy(rng, picture)
    return blend(picture, forged, mask), mask


def colour_region(rng: np.random.Generator, picture: Picture) -> tuple[Picture, Mask]:
    """White balance, exposure or tone of a part does not match."""
    mask = picture_mask(rng, picture)
    gain = np.exp(rng.normal(0, 0.15, 3) + rng.normal(0, 0.15))
    gamma = np.exp(rng.normal(0, 0.15))
    levels = np.arange(256)[:, None] / 255
    curve = np.clip(255 * (levels**gamma) * gain + 0.5, 0, 255).astype(np.uint8)
    forged = np.stack([curve[picture[..., band], band] for band in range(3)], axis=-1)
    return blend(picture, forged, mask), mask


def compressed_region(rng: np.random.Generator, picture: Picture) -> tuple[Picture, Mask]:
    """A part that was a JPEG before, on its own block grid, in a picture that was a better one."""
    down, right = rng.integers(8, size=2)
    mask = picture_mask(rng, picture)
    shifted = np.pad(picture, ((down, 0), (right, 0), (0, 0)), mode="edge")
    forged = recompress(shifted, int(rng.integers(25, 75)))[down:, right:]
    return blend(picture, forged, mask), mask


def _noisy(rng: np.random.Generator, picture: Picture) -> Picture:
    deviation = log_uniform(rng, 2.5, 14)
    bands = 1 if rng.random() < 0.3 else 3
    noise = rng.normal(0, deviation, (*picture.shape[:2], bands))
    if rng.random() < 0.3:
        noise = ndimage.gaussian_filter(noise, (0.6, 0.6, 0)) * 2
    return np.clip(picture + noise + 0.5, 0, 255).astype(np.uint8)


def _smoothed(rng: np.random.Generator, picture: Picture) -> Picture:
    sigma = rng.uniform(0.7, 2.0)
    # In 8 bits it would cut off what is behind the point, and what is forged would be a level darker.
    smooth = ndimage.gaussian_filter(picture, (sigma, sigma, 0), output=np.float32, truncate=3)
    return np.asarray(np.rint(smooth), np.uint8)
