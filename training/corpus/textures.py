"""Random fields with the statistics of natural surfaces."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.arrays import Plane
from training.draw import log_uniform


def power_law(
    rng: np.random.Generator, height: int, width: int, slope: float = 1.0, stretch: float = 1.0
) -> Plane:
    """Gaussian noise whose amplitude falls as 1/f**slope, float32 [height, width], mean 0, deviation 1.

    Photographs have slopes about 1 (Field, 1987). `stretch` > 1 makes the grain longer along the
    vertical axis, as in hair, wood or cloth.
    """
    vertical = np.fft.fftfreq(height)[:, None] * stretch
    horizontal = np.fft.rfftfreq(width)[None, :]
    radius = np.sqrt(vertical**2 + horizontal**2)
    radius[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((height, width), dtype=np.float32)) / radius**slope
    field = np.fft.irfft2(spectrum, s=(height, width)).astype(np.float32)
    return np.asarray(field / max(float(field.std()), 1e-6), np.float32)


def palette(rng: np.random.Generator, count: int) -> Plane:
    """Albedos around a few base colours, float32 [count, 3] in [0, 1], linear light."""
    bases = np.exp(rng.normal(-1.3, 0.7, (int(rng.integers(2, 7)), 1)) + rng.normal(0, 0.35, (1, 3)))
    bases = bases * np.exp(rng.normal(0, rng.uniform(0.05, 0.5), (len(bases), 3)))
    chosen = bases[rng.integers(len(bases), size=count)]
    varied = chosen * np.exp(rng.normal(0, 0.25, (count, 1)))
    return np.asarray(np.clip(varied, 0.005, 0.95), np.float32)


def dead_leaves(rng: np.random.Generator, height: int, width: int, finest: float = 2.0) -> Plane:
    """Overlapping shaded leaves with radii spread as r**-3, float32 [height, width, 3], linear light.

    The dead-leaves model (Matheron, 1968; Lee, Mumford and Huang, 2001) reproduces the scale
    invariance, edges and occlusions of photographs. `finest` is the smallest radius in pixels.
    """
    count = int(log_uniform(rng, 80, 2500))
    coarsest = rng.uniform(0.15, 0.5) * max(height, width)
    radii = (rng.uniform(coarsest**-2.0, finest**-2.0, count)) ** -0.5
    # The finest leaves would leave gaps: paint large ones first more often than not.
    order = np.argsort(-radii + rng.exponential(coarsest / 4, count))
    radii = radii[order]
    centres = rng.uniform((0, 0), (width, height), (count, 2))
    index = _paint(rng, height, width, centres, radii)

    albedo = palette(rng, count + 1)
    slopes = rng.normal(0, rng.uniform(0.05, 0.4), (count + 1, 2)) / np.append(coarsest, radii)[:, None]
    centres = np.vstack([[width / 2, height / 2], centres])
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    tilt = slopes.astype(np.float32)[index]
    middle = centres.astype(np.float32)[index]
    shade = 1 + tilt[..., 0] * (columns - middle[..., 0]) + tilt[..., 1] * (rows - middle[..., 1])

    grains = np.stack([power_law(rng, height, width, *_grain(rng)) for _ in range(3)])
    kind = rng.integers(len(grains), size=count + 1)[index]
    strength = (rng.uniform(0, 0.5, count + 1) ** 2).astype(np.float32)[index]
    grain = np.take_along_axis(grains, kind[None], 0)[0] * strength
    lit = albedo[index] * (np.clip(shade, 0.3, 1.7) * np.exp(grain))[..., None]
    return np.asarray(np.clip(lit, 0, 1), np.float32)


def _grain(rng: np.random.Generator) -> tuple[float, float]:
    return rng.uniform(0.3, 1.4), float(np.exp(rng.uniform(-1.5, 1.5)))


def _paint(
    rng: np.random.Generator,
    height: int,
    width: int,
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
) -> NDArray[np.int32]:
    """Which leaf is on top at each pixel, 0 where there is none: int32 [height, width]."""
    canvas = Image.new("I", (width, height), 0)
    draw = ImageDraw.Draw(canvas)
    corners = int(rng.integers(3, 8)) if rng.random() < 0.6 else 0
    for leaf, ((x, y), radius) in enumerate(zip(centres, radii, strict=True), start=1):
        if corners and rng.random() < 0.7:
            angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
            points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
            draw.polygon([(float(a), float(b)) for a, b in points], fill=leaf)
        else:
            tall = radius * rng.uniform(0.4, 1)
            draw.ellipse((x - radius, y - tall, x + radius, y + tall), fill=leaf)
    return np.asarray(canvas, np.int32)
