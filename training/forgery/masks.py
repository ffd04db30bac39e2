"""Where a forgery goes: soft, deformed masks, the box that holds them, and their files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from training.arrays import Picture
from training.draw import log_uniform
from training.sample import Region

Mask = NDArray[np.float32]

_FILE_SIDE = 256
VISIBLE = 0.02
"""Below this weight a mask changes no more than rounding does."""


def soft_mask(rng: np.random.Generator, height: int, width: int, sharpest: float = 0.02) -> Mask:
    """A blob with a soft border, float32 [height, width] in [0, 1]; 0 outside it.

    As in self-blended images (Shiohara and Yamasaki, CVPR 2022): a hull, deformed elastically and
    blurred, with a random blending ratio. It covers about 3 to 40 % of the picture.

    Args:
        sharpest: border of the hardest mask, as a share of its radius.
    """
    # Drawn small and enlarged: a mask has no fine detail, and pictures may be large.
    scale = min(1.0, 256 / max(height, width))
    small_height, small_width = max(16, round(height * scale)), max(16, round(width * scale))
    area = log_uniform(rng, 0.04, 0.4)
    aspect = np.exp(rng.normal(0, 0.25))
    tall = np.sqrt(area * small_height * small_width * aspect / np.pi)
    wide = tall / aspect
    centre = rng.uniform(0.25, 0.75) * small_width, rng.uniform(0.25, 0.75) * small_height
    shape = _hull(rng, small_height, small_width, centre, (wide, tall))
    shape = _deform(rng, shape, strength=0.25 * min(wide, tall) * rng.random())
    feather = min(wide, tall) * log_uniform(rng, sharpest, 0.35)
    shape = ndimage.gaussian_filter(shape, feather, mode="constant")
    shape /= max(float(shape.max()), 1e-6)
    full = Image.fromarray(shape).resize((width, height), Image.Resampling.BICUBIC)
    mask = np.clip(np.asarray(full, np.float32), 0, 1)
    mask[mask < VISIBLE] = 0
    return mask * np.float32(rng.choice([0.5, 0.75, 1, 1, 1, 1]))


def picture_mask(rng: np.random.Generator, picture: Picture) -> Mask:
    """For a picture that stands alone: some were cut out with scissors."""
    height, width = picture.shape[:2]
    return soft_mask(rng, height, width, sharpest=0.006)


def region_of(mask: Mask) -> Region:
    """Left, top, right, bottom of what the mask touches, as fractions of the picture."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    return (
        float(columns[0] / width),
        float(rows[0] / height),
        float((columns[-1] + 1) / width),
        float((rows[-1] + 1) / height),
    )


def blend(original: Picture, forged: Picture, mask: Mask) -> Picture:
    """The forged picture where the mask is 1, the original where it is 0."""
    weight = mask[..., None]
    mixed = original * (1 - weight) + forged * weight
    return np.where(weight > 0, np.clip(mixed + 0.5, 0, 255), original).astype(np.uint8)


def save_mask(path: Path, mask: Mask) -> None:
    """As a grey PNG of at most 256 pixels a side: a mask has no fine detail."""
    image = Image.fromarray((mask * 255 + 0.5).astype(np.uint8))
    image.thumbnail((_FILE_SIDE, _FILE_SIDE), Image.Resampling.BOX)
    image.save(path)


def _hull(
    rng: np.random.Generator, height: int, width: int, centre: tuple[float, float], radii: tuple[float, float]
) -> Mask:
    """An ellipse, a box or a rough polygon."""
    canvas = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(canvas)
    (x, y), (wide, tall) = centre, radii
    match rng.integers(3):
        case 0:
            draw.ellipse((x - wide, y - tall, x + wide, y + tall), fill=255)
        case 1:
            wide, tall = wide * 0.886, tall * 0.886
            draw.rounded_rectangle(
                (x - wide, y - tall, x + wide, y + tall), rng.uniform(0, 1) * min(wide, tall), fill=255
            )
        case _:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(6, 16))))
            reach = rng.uniform(0.7, 1.3, len(angles))
            points = zip(x + wide * reach * np.cos(angles), y + tall * reach * np.sin(angles), strict=True)
            draw.polygon([(float(a), float(b)) for a, b in points], fill=255)
    mask: Mask = np.asarray(canvas, np.float32) / np.float32(255)
    if not mask.any():
        mask[height // 2, width // 2] = 1
    return mask


def _deform(rng: np.random.Generator, mask: Mask, strength: float) -> Mask:
    """Elastic deformation; `strength` in pixels."""
    height, width = mask.shape
    drift = ndimage.gaussian_filter(rng.standard_normal((2, height, width)), (0, height / 12, width / 12))
    drift *= strength / max(float(np.abs(drift).max()), 1e-6)
    rows, columns = np.mgrid[0:height, 0:width]
    places = rows + drift[0], columns + drift[1]
    deformed: Mask = ndimage.map_coordinates(mask, places, order=1, mode="constant")
    return deformed
