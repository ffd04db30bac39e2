"""Procedural surfaces have the statistics of natural ones."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from training.corpus.scenes import scene
from training.corpus.textures import dead_leaves, power_law


def spectrum_slope(plane: NDArray[np.float32]) -> float:
    """Exponent a of the amplitude spectrum 1 / f**a, fitted between 1/64 and 1/4 cycles per pixel."""
    window = np.outer(np.hanning(plane.shape[0]), np.hanning(plane.shape[1]))
    amplitude = np.abs(np.fft.fft2((plane - plane.mean()) * window))
    radius = np.hypot(np.fft.fftfreq(plane.shape[0])[:, None], np.fft.fftfreq(plane.shape[1])[None, :])
    rings = np.geomspace(1 / 64, 1 / 4, 12)
    means = [amplitude[(radius >= low) & (radius < high)].mean() for low, high in itertools.pairwise(rings)]
    return -float(np.polyfit(np.log(np.sqrt(rings[:-1] * rings[1:])), np.log(means), 1)[0])


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.5])
def test_power_law_has_the_slope_asked_for(slope: float) -> None:
    fields = [power_law(np.random.default_rng(seed), 256, 256, slope) for seed in range(4)]
    assert np.mean([spectrum_slope(field) for field in fields]) == pytest.approx(slope, abs=0.1)
    assert fields[0].dtype == np.float32
    assert fields[0].std() == pytest.approx(1, abs=1e-3)


def test_dead_leaves_are_as_scale_invariant_as_photographs() -> None:
    slopes = [
        spectrum_slope(dead_leaves(np.random.default_rng(seed), 256, 256).mean(axis=2)) for seed in range(6)
    ]
    assert 0.8 < np.mean(slopes) < 1.6


def test_scenes_vary_in_content_and_stay_in_the_natural_range() -> None:
    slopes = [
        spectrum_slope(scene(np.random.default_rng(seed), 256, 256).flat().mean(axis=2)) for seed in range(16)
    ]
    assert 0.8 < np.median(slopes) < 2.0
    assert np.std(slopes) > 0.1


def test_a_subject_lies_inside_its_matte() -> None:
    made = scene(np.random.default_rng(3), 128, 160)
    assert made.backdrop.shape == made.subject.shape == (128, 160, 3)
    assert 0 <= made.matte.min() <= made.matte.max() <= 1
    outside = made.matte == 0
    np.testing.assert_array_equal(made.flat()[outside], made.backdrop[outside])
