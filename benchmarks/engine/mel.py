"""The mel front end as the exporter puts it into the graph: its time, and its distance to librosa."""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import librosa
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from rich.table import Table

SAMPLE_RATE, SECONDS = 16_000, 4
_SETTINGS: dict[str, Any] = {"n_fft": 1024, "hop_length": 160, "n_mels": 80, "center": True}
_WINDOW = 400


@dataclass(frozen=True, slots=True)
class Compared:
    """Milliseconds of one clip, and the largest difference in dB, by kind of sound."""

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
        graph.append(1000 * (middle - start))
        reference.append(1000 * (time.thread_time() - middle))
    return Compared(graph, reference, decibels)


def rich_table(compared: Compared) -> Table:
    table = Table(f"{SECONDS} s clip, one thread", "")
    table.add_row("in the graph, median ms", f"{statistics.median(compared.graph):.2f}")
    table.add_row("librosa, median ms", f"{statistics.median(compared.librosa):.2f}")
    for name, difference in compared.decibels.items():
        table.add_row(f"largest difference, {name}, dB", f"{difference:.0e}")
    return table


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
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _librosa(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    power = librosa.feature.melspectrogram(y=pcm, sr=SAMPLE_RATE, win_length=_WINDOW, **_SETTINGS)
    decibels: NDArray[np.float32] = librosa.power_to_db(power, top_db=None)
    return decibels.T


def _sounds() -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(0)
    seconds = np.arange(SAMPLE_RATE * SECONDS) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(140 * (1 + 0.1 * np.sin(2 * np.pi * 2 * seconds))) / SAMPLE_RATE
    harmonics = np.sum([np.sin(k * phase) / k for k in range(1, 20)], axis=0)
    noise = random.normal(0, 1, len(seconds))
    sounds = {
        "voice": 0.2 * harmonics * np.clip(np.sin(8 * np.pi * seconds), 0, 1) + 0.003 * noise,
        "noise": 0.1 * noise,
        "silence": 0 * noise,
    }
    return {name: sound.astype(np.float32) for name, sound in sounds.items()}
