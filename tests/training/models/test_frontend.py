from pathlib import Path
from typing import Any

import keras
import librosa
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray

from training.models.frontend import LogMelSpectrogram

SAMPLES = 20_000

SETTINGS = [
    {"win_lengths": (400, 128)},
    {"n_fft": 128, "hop_length": 16, "win_lengths": (48,), "n_mels": 16, "fmin": 200.0, "center": False},
    {"n_fft": 400, "hop_length": 100, "win_lengths": (400,), "n_mels": 40},
    {
        "n_fft": 2048,
        "hop_length": 512,
        "win_lengths": (2048,),
        "n_mels": 128,
        "sample_rate": 22_050,
        "fmin": 60.0,
    },
]


@pytest.fixture
def pcm() -> NDArray[np.float32]:
    """A fading tone over noise, and noise alone."""
    noise = np.random.default_rng(0).standard_normal((2, SAMPLES)) * 0.01
    tone = np.sin(np.arange(SAMPLES) * 0.3) * np.linspace(0.9, 0, SAMPLES)
    return np.asarray(noise + np.stack([tone, np.zeros(SAMPLES)]), np.float32)


def librosa_decibels(layer: LogMelSpectrogram, pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    def channel(row: NDArray[np.float32], win_length: int) -> NDArray[np.float32]:
        power: NDArray[np.float32] = librosa.feature.melspectrogram(
            y=row,
            sr=layer.sample_rate,
            n_fft=layer.n_fft,
            hop_length=layer.hop_length,
            win_length=win_length,
            n_mels=layer.n_mels,
            fmin=layer.fmin,
            fmax=layer.fmax,
            center=layer.center,
        )
        decibels: NDArray[np.float32] = librosa.power_to_db(power, top_db=None)
        return decibels.T

    rows = [np.stack([channel(row, n) for n in layer.win_lengths], axis=-1) for row in pcm]
    return np.asarray(rows, np.float32)


def as_model(layer: LogMelSpectrogram) -> keras.Model:
    pcm = keras.Input((SAMPLES,))
    return keras.Model(pcm, layer(pcm))


@pytest.mark.parametrize("settings", SETTINGS)
def test_equals_librosa_in_keras_and_onnx_runtime(settings: dict[str, Any], pcm: NDArray[np.float32]) -> None:
    layer = LogMelSpectrogram(**settings)
    model = as_model(layer)
    expected = librosa_decibels(layer, pcm)
    graph, _ = tf2onnx.convert.from_keras(model, (tf.TensorSpec((None, SAMPLES), name="pcm"),), opset=17)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])

    assert model.output_shape[1:] == expected.shape[1:]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(pcm)), expected, rtol=0, atol=0.01)
    np.testing.assert_allclose(session.run(None, {"pcm": pcm})[0], expected, rtol=0, atol=0.01)
    assert session.run(None, {"pcm": pcm[:0]})[0].shape == (0, *expected.shape[1:])


def test_is_the_same_after_saving_and_loading(tmp_path: Path, pcm: NDArray[np.float32]) -> None:
    model = as_model(LogMelSpectrogram(win_lengths=(400, 128), n_mels=40, fmin=50.0, center=False))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")

    np.testing.assert_array_equal(loaded.predict(pcm, verbose=0), model.predict(pcm, verbose=0))
    assert loaded.layers[-1].settings() == model.layers[-1].settings()


def test_refuses_a_window_longer_than_the_frame() -> None:
    with pytest.raises(ValueError, match="n_fft"):
        LogMelSpectrogram(n_fft=1024, win_lengths=(400, 2048))
