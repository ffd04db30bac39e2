"""The mel front end as the exporter puts it into the graph: its time, and its distance to librosa."""

import time
from dataclasses import dataclass
from typing import Any

import librosa
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.material.media import speech
from benchmarks.report.figures import milliseconds
from benchmarks.report.tables import Table
from benchmarks.yardstick.session import one_thread

SAMPLE_RATE, SECONDS = 16_000, 4
_SETTINGS: dict[str, Any] = {"n_fft": 1024, "hop_length": 160, "n_mels": 80, "center": True}
_WINDOW = 400


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds of one clip, and the largest difference in dB, by kind of sound."""

    graph: list[float]
    librosa: list[float]
    decibels: dict[str, float]


def compare(rounds: int) -> Compared:
    """Runs the converted layer and librosa by turns on one thread, and compares what they say."""
    session = _session()
    sounds = _sounds()
    decibels = {
        name: float(np.abs(session.run(None, {"rows": pcm[None]})[0][0, :, :, 0] - _librosa(pcm)).max())
        for name, pcm in sounds.items()
    }
    pcm = sounds["voice"]
    graph, reference = [], []
    for _ in range(rounds):
        start = time.thread_time()
        session.run(None, {"rows": pcm[None]})
        middle = time.thread_time()
        _librosa(pcm)
        graph.append(middle - start)
        reference.append(time.thread_time() - middle)
    return Compared(graph, reference, decibels)


def table(compared: Compared) -> Table:
    times = {"in the graph": compared.graph, "librosa": compared.librosa}
    rows = [[f"{name}, median ms", f"{milliseconds(times[name]).median:.2f}"] for name in times]
    rows += [[f"largest difference, {name}, dB", f"{found:.0e}"] for name, found in compared.decibels.items()]
    return Table((f"{SECONDS} s clip, one thread", ""), rows)


def _session() -> ort.InferenceSession:
    import keras
    import tensorflow as tf
    import tf2onnx

    from exporter.clean import clean
    from exporter.graph import OPSET
    from training.models.frontend import LogMelSpectrogram

    samples = SAMPLE_RATE * SECONDS
    pcm = keras.Input((samples,))
    model = keras.Model(pcm, LogMelSpectrogram(SAMPLE_RATE, win_lengths=(_WINDOW,), **_SETTINGS)(pcm))
    rows = tf.TensorSpec((None, samples), tf.float32, name="rows")
    graph = clean(tf2onnx.convert.from_keras(model, (rows,), opset=OPSET)[0])
    return one_thread(graph.SerializeToString())


def _librosa(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    power = librosa.feature.melspectrogram(y=pcm, sr=SAMPLE_RATE, win_length=_WINDOW, **_SETTINGS)
    decibels: NDArray[np.float32] = librosa.power_to_db(power, top_db=None)
    return decibels.T


def _sounds() -> dict[str, NDArray[np.float32]]:
    noise = np.random.default_rng(0).normal(0, 1, SAMPLE_RATE * SECONDS)
    return {
        "voice": speech(SECONDS, 0, SAMPLE_RATE),
        "noise": (0.1 * noise).astype(np.float32),
        "silence": np.zeros(SAMPLE_RATE * SECONDS, np.float32),
    }
