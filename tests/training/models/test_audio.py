from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from training.models.audio import build_audio_model
from training.models.coherence import BandCoherence
from training.models.frontend import LogMelSpectrogram
from training.settings import LEAST_WINDOW_SAMPLES

SAMPLES = 16_000


@pytest.fixture
def pcm() -> NDArray[np.float32]:
    rows = np.random.default_rng(0).standard_normal((3, SAMPLES)) * [[0.3], [0.01], [0.0]]
    return np.asarray(rows, np.float32)


def test_gives_one_logit_per_row_whatever_its_level(pcm: NDArray[np.float32]) -> None:
    model = build_audio_model(window_samples=SAMPLES)
    logit = model.predict(pcm, verbose=0)["logit"]

    assert model.input_shape == (None, SAMPLES)
    assert logit.shape == (3,)
    assert np.isfinite(logit).all()
    np.testing.assert_allclose(model.predict(pcm * 0.1, verbose=0)["logit"], logit, atol=0.02)


@pytest.mark.parametrize("rate", [4_000, 48_000])
def test_the_shortest_window_of_the_settings_is_the_shortest_there_can_be(rate: int) -> None:
    least = LEAST_WINDOW_SAMPLES
    longer, shorter = (np.zeros((1, samples), np.float32) for samples in (least, least - 1))
    assert build_audio_model(rate, least)(longer)["logit"].shape == (1,)
    with pytest.raises(ValueError, match="batch_normalization"):
        build_audio_model(rate, least - 1)(shorter)


def test_is_the_same_after_saving_and_loading(tmp_path: Path, pcm: NDArray[np.float32]) -> None:
    model = build_audio_model(window_samples=SAMPLES)
    model.save(tmp_path / "audio.keras")
    loaded = keras.saving.load_model(tmp_path / "audio.keras")

    expected = model.predict(pcm, verbose=0)["logit"]
    np.testing.assert_array_equal(loaded.predict(pcm, verbose=0)["logit"], expected)


def test_bands_of_pulses_cohere_and_those_of_the_same_pulses_with_random_phases_do_not() -> None:
    rng = np.random.default_rng(0)
    pulses = np.zeros(SAMPLES)
    pulses[::133] = 1
    spectrum = np.fft.rfft(pulses)
    scrambled = np.fft.irfft(np.abs(spectrum) * np.exp(2j * np.pi * rng.random(len(spectrum))), SAMPLES)
    rows = np.stack([pulses, scrambled]) + rng.standard_normal((2, SAMPLES)) * 1e-3

    decibels = LogMelSpectrogram(
        n_fft=128, hop_length=16, win_lengths=(48,), n_mels=16, fmin=200.0, center=False
    )(rows.astype(np.float32))
    layer = BandCoherence()
    features = keras.ops.convert_to_numpy(layer(decibels))
    correlation = features[..., :120].mean(axis=(1, 2))

    assert features.shape == layer.compute_output_shape(decibels.shape)
    assert correlation[0] > 0.8
    assert correlation[1] < 0.4
