"""What the layers of the image, the video and the sound model compute."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.models.audio import MeanAndDeviation, NormalisedLevel, RowJitter
from training.models.coherence import BandCoherence
from training.models.layers import DeviationFromMean, LogMeanExp, Moments, Motion, Standardised


@pytest.fixture
def maps() -> NDArray[np.float32]:
    """Features whose mean and spread are others in every picture and channel."""
    random = np.random.default_rng(0)
    scale, shift = random.uniform(0.1, 3, (2, 3, 1, 1, 4))
    return np.asarray(random.normal(0, 1, (3, 5, 7, 4)) * scale + shift, np.float32)


def test_a_place_is_measured_against_its_own_picture_channel_by_channel(maps: NDArray[np.float32]) -> None:
    deviation = maps - maps.mean(axis=(1, 2), keepdims=True)
    spread = np.sqrt(maps.var(axis=(1, 2), keepdims=True) + 0.05)
    np.testing.assert_allclose(DeviationFromMean()(maps), np.abs(deviation), atol=1e-5)
    np.testing.assert_allclose(Standardised()(maps), deviation / spread, atol=1e-5)


def test_log_mean_exp_bears_large_cells() -> None:
    cells = np.array([[[1000.0, 1000.0], [0.0, 0.0]], [[-1000.0] * 2] * 2], np.float32)
    np.testing.assert_allclose(LogMeanExp()(cells), [1000 + np.log(0.5), -1000], rtol=1e-6)


def test_every_inner_frame_stands_beside_the_step_to_it_and_the_step_from_it() -> None:
    clip = np.reshape([0.0, 0.1, -0.1, -0.1], (1, 4, 1, 1, 1)).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(Motion()(clip))[0, :, 0, 0],
        [[0.1, 1.6 / 2.6, -3.2 / 4.2], [-0.1, -3.2 / 4.2, 0]],
        atol=1e-6,
    )
    np.testing.assert_allclose(np.asarray(Moments()(clip))[0, 0, 0], [-0.025, 0.1], atol=1e-6)


def test_sound_is_centred_and_as_loud_as_all_other_and_silence_stays() -> None:
    wave = np.sin(np.arange(1000) * 2 * np.pi / 50)
    rows = np.stack([0.5 * wave + 0.3, 0.01 * wave, 0 * wave]).astype(np.float32)
    level = np.asarray(NormalisedLevel()(rows))
    np.testing.assert_allclose(level, np.stack([wave, wave, 0 * wave]) * 0.1 * 2**0.5, atol=1e-4)


def test_features_are_summed_up_by_their_mean_and_deviation_over_time() -> None:
    features = np.random.default_rng(0).normal(3, 2, (2, 50, 3)).astype(np.float32)
    expected = np.concatenate([features.mean(axis=1), features.std(axis=1)], axis=1)
    np.testing.assert_allclose(MeanAndDeviation()(features), expected, atol=1e-4)


def test_jitter_is_the_same_all_along_a_row_and_only_in_training() -> None:
    layer, features = RowJitter(1.0), np.ones((3, 5, 4), np.float32)
    np.testing.assert_array_equal(layer(features), features)
    jittered = np.asarray(layer(features, training=True))
    np.testing.assert_array_equal(jittered, np.repeat(jittered[:, :1], 5, axis=1))
    assert len(np.unique(jittered[:, 0])) == 12


def coherence(*bands: Any) -> NDArray[np.float32]:
    """Correlation, two strengths and two levels of a segment of two bands in decibels."""
    decibels = np.stack(np.broadcast_arrays(*bands, np.zeros(64))[:2], axis=-1)
    features = np.asarray(BandCoherence()(decibels[None, :, :, None].astype(np.float32)), np.float32)
    return np.asarray(features[0, 0])


def test_bands_cohere_by_their_fast_changes_alone() -> None:
    def waves(count: int) -> NDArray[np.float64]:
        """So many half-waves along a segment."""
        return np.asarray(np.cos(np.pi * count * (np.arange(64) + 0.5) / 64))

    still = 0.3**0.5 / 3
    np.testing.assert_allclose(coherence(-40, -100), [0, still, still, 0, -1.5], atol=1e-5)
    slow, fast = 10 * waves(7), 10 * waves(8)
    np.testing.assert_allclose(coherence(slow - 20, slow - 20), [0, still, still, 1, 1], atol=1e-4)
    strong = 50.3**0.5 / 3
    np.testing.assert_allclose(
        coherence(fast - 20, -fast - 20), [-50 / 50.3, strong, strong, 1, 1], atol=1e-4
    )
    faint = 0.1 * waves(8)
    assert coherence(faint, faint)[0] == pytest.approx(0.005 / 0.305, abs=1e-4)
