"""A camera: optics, Bayer sensor, demosaicing, noise, and the processing that follows.

Forgeries are found against the traces that this chain leaves, so every step varies over what
phones and cameras do. Linear light in, uint8 RGB out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.arrays import LUMA, Picture, Plane
from training.draw import log_uniform

_BILINEAR_CROSS = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
_BILINEAR_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
# Malvar, He and Cutler, "High-quality linear interpolation for demosaicing", 2004: the gradient of
# the colour that was measured corrects the one that was not.
_MALVAR_GREEN = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]],
    np.float32,
) / np.float32(8)
_MALVAR_ROW = np.array(
    [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]],
    np.float32,
) / np.float32(8)
_MALVAR_CROSS = np.array(
    [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]],
    np.float32,
) / np.float32(8)


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera at one exposure.

    Attributes:
        blur: sigma of the optics in pixels.
        gains: white balance as sensitivity of red, green, blue.
        shot, read: noise variance per unit of signal, and of darkness; signal is 0 to 1.
        demosaic: "bilinear", "malvar", or "none" for a picture binned from a larger sensor.
        phase: where the red pixel of the Bayer pattern is: row, column.
        denoise: strength of in-camera noise reduction, 0 to 1.
        vignette: light lost in the corners, as a fraction.
        saturation, contrast: of the rendering; 1 leaves things as they are.
        sharpen, radius: unsharp mask.
    """

    blur: float
    gains: tuple[float, float, float]
    shot: float
    read: float
    demosaic: str
    phase: tuple[int, int]
    denoise: float
    vignette: float
    saturation: float
    contrast: float
    sharpen: float
    radius: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Camera":
        noise = log_uniform(rng, 1e-5, 3e-3)
        return cls(
            blur=rng.uniform(0.3, 1.0),
            gains=(rng.uniform(0.4, 0.8), 1.0, rng.uniform(0.4, 0.8)),
            shot=noise,
            read=noise * rng.uniform(0.001, 0.05),
            demosaic=str(rng.choice(["bilinear", "malvar", "none"], p=[0.3, 0.45, 0.25])),
            phase=(int(rng.integers(2)), int(rng.integers(2))),
            denoise=rng.uniform(0, 1) * (rng.random() < 0.5),
            vignette=rng.uniform(0, 0.4) * (rng.random() < 0.5),
            saturation=rng.uniform(0.7, 1.4) if rng.random() < 0.95 else 0.0,
            contrast=rng.uniform(0.8, 1.5),
            sharpen=rng.uniform(0, 1.5) * (rng.random() < 0.6),
            radius=rng.uniform(0.5, 1.5),
        )

    def optics(self, radiance: Plane) -> Plane:
        """What falls on the sensor: float32 [height, width, 3], exposed to about 0 to 1."""
        image = ndimage.gaussian_filter(radiance, (self.blur, self.blur, 0), truncate=3)
        rows, columns = np.ogrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
        image *= (1 - self.vignette * (rows**2 + columns**2) / 2).astype(np.float32)[..., None]
        white = float(np.percentile(image[::4, ::4], 98))
        exposed: Plane = image / max(white, 1e-3)
        return exposed

    def develop(self, exposed: Plane, rng: np.random.Generator) -> Picture:
        """Sensor noise and everything after it; `rng` draws the noise only."""
        gains = np.asarray(self.gains, np.float32)
        raw = exposed * gains
        if self.demosaic != "none":
            raw = _mosaic(raw, self.phase)
        sigma = np.sqrt(np.maximum(raw, 0) * self.shot + self.read)
        raw = np.clip(raw + sigma * rng.standard_normal(raw.shape, dtype=np.float32), 0, 1)
        linear = raw if self.demosaic == "none" else _DEMOSAIC[self.demosaic](raw, self.phase)
        linear = np.clip(linear / gains, 0, 1)
        return _render(self, linear)


def _mosaic(image: Plane, phase: tuple[int, int]) -> Plane:
    """One colour per pixel: float32 [height, width]."""
    red, blue = _sites(image.shape[:2], phase)
    return np.where(red, image[..., 0], np.where(blue, image[..., 2], image[..., 1]))


def _sites(shape: tuple[int, int], phase: tuple[int, int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    rows = (np.arange(shape[0])[:, None] + phase[0]) % 2
    columns = (np.arange(shape[1])[None, :] + phase[1]) % 2
    return (rows == 0) & (columns == 0), (rows == 1) & (columns == 1)


def _demosaic_bilinear(raw: Plane, phase: tuple[int, int]) -> Plane:
    red, blue = _sites(raw.shape, phase)
    green = ~(red | blue)
    return np.stack(
        [
            ndimage.convolve(raw * red, _BILINEAR_CROSS, mode="mirror"),
            ndimage.convolve(raw * green, _BILINEAR_GREEN, mode="mirror"),
            ndimage.convolve(raw * blue, _BILINEAR_CROSS, mode="mirror"),
        ],
        axis=-1,
    )


def _demosaic_malvar(raw: Plane, phase: tuple[int, int]) -> Plane:
    red, blue = _sites(raw.shape, phase)
    red_row = np.any(red, axis=1, keepdims=True)
    along = ndimage.convolve(raw, _MALVAR_ROW, mode="mirror")
    across = ndimage.convolve(raw, _MALVAR_ROW.T, mode="mirror")
    cross = ndimage.convolve(raw, _MALVAR_CROSS, mode="mirror")
    green = np.where(red | blue, ndimage.convolve(raw, _MALVAR_GREEN, mode="mirror"), raw)
    at_green_red = np.where(red_row, along, across)
    at_green_blue = np.where(red_row, across, along)
    return np.stack(
        [
            np.where(red, raw, np.where(blue, cross, at_green_red)),
            green,
            np.where(blue, raw, np.where(red, cross, at_green_blue)),
        ],
        axis=-1,
    )


_DEMOSAIC: dict[str, Callable[[Plane, tuple[int, int]], Plane]] = {
    "bilinear": _demosaic_bilinear,
    "malvar": _demosaic_malvar,
}


def _render(camera: Camera, linear: Plane) -> Picture:
    """Tone curve, noise reduction, colour and sharpening, in display light."""
    image = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055
    )
    image = image + (camera.contrast - 1) * 0.5 * (image - 0.5) * 4 * image * (1 - image)
    luma = image @ np.array(LUMA, np.float32)
    chroma = image - luma[..., None]
    if camera.denoise:
        chroma = ndimage.gaussian_filter(chroma, (2 * camera.denoise, 2 * camera.denoise, 0), truncate=2)
        luma = _smooth_where_flat(luma, camera.denoise)
    if camera.sharpen:
        luma = luma + camera.sharpen * (luma - ndimage.gaussian_filter(luma, camera.radius, truncate=3))
    image = luma[..., None] + camera.saturation * chroma
    picture: Picture = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    return picture


def _smooth_where_flat(luma: Plane, strength: float) -> Plane:
    """Wiener filter: keeps edges, removes what looks like noise."""
    mean = ndimage.uniform_filter(luma, 5)
    variance = np.maximum(ndimage.uniform_filter(luma**2, 5) - mean**2, 0)
    noise = float(np.percentile(variance[::4, ::4], 20)) * 2
    keep = np.maximum(variance - noise * strength, 0) / np.maximum(variance, 1e-8)
    smooth: Plane = mean + keep * (luma - mean)
    return smooth
