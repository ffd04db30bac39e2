"""The camera leaves a sensor's traces: mosaic, shot noise, tone."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from training.corpus.camera import Camera

PLAIN = Camera(
    blur=0.5,
    gains=(0.6, 1.0, 0.6),
    shot=0.0,
    read=0.0,
    demosaic="none",
    phase=(0, 0),
    denoise=0.0,
    vignette=0.0,
    saturation=1.0,
    contrast=1.0,
    sharpen=0.0,
    radius=1.0,
)


def shoot(camera: Camera, radiance: NDArray[np.float32], seed: int = 0) -> NDArray[np.uint8]:
    return camera.develop(camera.optics(radiance), np.random.default_rng(seed))


def ramp(height: int = 64, width: int = 96) -> NDArray[np.float32]:
    return np.repeat(np.linspace(0.05, 1, width, dtype=np.float32)[None, :, None], height, 0).repeat(3, 2)


def test_grey_stays_grey_through_every_demosaicing() -> None:
    for demosaic in ("none", "bilinear", "malvar"):
        picture = shoot(
            replace(PLAIN, demosaic=demosaic, gains=(1.0, 1.0, 1.0)), np.full((32, 32, 3), 0.5, np.float32)
        )
        assert np.ptp(picture.astype(int), axis=2).max() == 0, demosaic


@pytest.mark.parametrize("demosaic", ["bilinear", "malvar"])
@pytest.mark.parametrize("phase", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_demosaicing_restores_a_smooth_picture(demosaic: str, phase: tuple[int, int]) -> None:
    coloured = ramp() * np.array([1.0, 0.6, 0.3], np.float32)
    whole = shoot(PLAIN, coloured).astype(int)
    rebuilt = shoot(replace(PLAIN, demosaic=demosaic, phase=phase), coloured).astype(int)
    assert np.abs(whole - rebuilt)[4:-4, 4:-4].mean() < 2


def test_shot_noise_grows_with_light() -> None:
    noisy = shoot(replace(PLAIN, shot=0.002), ramp(height=400))
    clean = shoot(PLAIN, ramp(height=400))
    linear = ((noisy / 255.0) ** 2.2 - (clean / 255.0) ** 2.2)[..., 1].std(axis=0)
    assert linear[70:80].mean() > 1.5 * linear[5:15].mean()


def test_noise_comes_from_the_seed() -> None:
    camera = Camera.random(np.random.default_rng(1))
    assert np.array_equal(shoot(camera, ramp()), shoot(camera, ramp()))
    assert not np.array_equal(shoot(camera, ramp()), shoot(camera, ramp(), seed=1))
