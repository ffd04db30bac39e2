"""Log-mel spectrograms as plain matrix products, so that they convert to ONNX."""

from math import gcd
from typing import Any

import keras
import librosa
import numpy as np
from keras import ops
from numpy.typing import NDArray

_MOST_COLUMNS = 32
AMIN = 1e-10


@keras.saving.register_keras_serializable(package="deepfake")
class LogMelSpectrogram(keras.layers.Layer):  # type: ignore[misc]
    """PCM float32 [B, S] → decibels float32 [B, frames, n_mels, len(win_lengths)].

    Equals `librosa.power_to_db(librosa.feature.melspectrogram(..., pad_mode="constant"), top_db=None)`
    with Hann windows and Slaney mel bands, to less than 0.01 dB. A short window resolves the glottal
    pulses of a voice and a long one its harmonics, so each of `win_lengths` gives a channel.

    TensorFlow's FFT does not convert to ONNX. Here a frame is a table of rows x columns samples, and
    sample n = columns r + c meets bin k = j + rows m in two products (Cooley and Tukey, 1965): over
    rows r, with the window and the twiddle factors folded into that matrix, then over columns c.
    Bins k and n_fft - k of a real signal have the same power, so j runs over half its range.
    It is fast where a power of 2 divides n_fft and hop_length: frames then start at whole rows.

    Raises:
        ValueError: a window is longer than n_fft.
    """

    def __init__(
        self,
        sample_rate: int = 16_000,
        n_fft: int = 1024,
        hop_length: int = 160,
        win_lengths: tuple[int, ...] = (400,),
        n_mels: int = 80,
        fmin: float = 0.0,
        fmax: float | None = None,
        center: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if max(win_lengths) > n_fft:
            raise ValueError(f"win_lengths must not exceed n_fft = {n_fft}: {win_lengths}")
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.win_lengths = tuple(win_lengths)
        self.n_mels = n_mels
        self.fmin = fmin
        self.fmax = sample_rate / 2 if fmax is None else fmax
        self.center = center
        self.columns = gcd(_MOST_COLUMNS, n_fft, hop_length)
        self.rows = n_fft // self.columns
        self.half = self.rows // 2 + 1

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self._row_matrix = self._rows_dft()
        self._column_matrix = _columns_dft(self.columns)
        self._mel_matrix = self._folded_mel()
        self._frame_rows = self._frames_in_rows(int(input_shape[1] or 0))
        super().build(input_shape)

    def call(self, pcm: Any) -> Any:
        frames, windows = len(self._frame_rows), len(self.win_lengths)
        rows = ops.reshape(self._whole_rows(pcm), (-1, self._frame_rows.max() + 1, self.columns))
        framed = ops.reshape(ops.take(rows, self._frame_rows.ravel(), axis=1), (-1, self.rows, self.columns))
        by_column = ops.matmul(ops.transpose(framed, (2, 0, 1)), self._row_matrix)
        by_column = ops.reshape(by_column, (self.columns, -1, windows * self.half, 2))
        by_row = ops.reshape(ops.transpose(by_column, (1, 2, 3, 0)), (-1, 2 * self.columns))
        parts = ops.square(ops.matmul(by_row, self._column_matrix))
        power = parts[:, : self.columns] + parts[:, self.columns :]
        mel = ops.matmul(ops.reshape(power, (-1, self.half * self.columns)), self._mel_matrix)
        decibels = ops.log(ops.maximum(mel, AMIN)) * (10 / np.log(10))
        return ops.transpose(ops.reshape(decibels, (-1, frames, windows, self.n_mels)), (0, 1, 3, 2))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        frames = len(self._frames_in_rows(int(input_shape[1] or 0)))
        return input_shape[0], frames, self.n_mels, len(self.win_lengths)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | self.settings()

    def settings(self) -> dict[str, Any]:
        """What the manifest says of this spectrogram."""
        names = ("sample_rate", "n_fft", "hop_length", "win_lengths", "n_mels", "fmin", "fmax", "center")
        return {name: getattr(self, name) for name in names}

    def _whole_rows(self, pcm: Any) -> Any:
        """Pads as librosa's `center` does and keeps the samples that some frame covers."""
        used = (int(self._frame_rows.max()) + 1) * self.columns
        if not self.center:
            return pcm[:, :used]
        before = self.n_fft // 2
        after = max(used - before - pcm.shape[1], 0)
        return ops.pad(pcm, ((0, 0), (before, after)))[:, :used]

    def _frames_in_rows(self, samples: int) -> NDArray[np.int32]:
        """Which rows of samples make up each frame: int32 [frames, rows]."""
        padded = samples + (self.n_fft // 2 * 2 if self.center else 0)
        count = 1 + (padded - self.n_fft) // self.hop_length
        starts = np.arange(count) * (self.hop_length // self.columns)
        return (starts[:, None] + np.arange(self.rows)).astype(np.int32)

    def _rows_dft(self) -> NDArray[np.float32]:
        """Float32 [columns, rows, windows · half · (real, imaginary)]."""
        row, column, bin_ = np.ogrid[: self.rows, : self.columns, : self.half]
        turns = row * bin_ / self.rows + column * bin_ / self.n_fft
        basis = np.exp(-2j * np.pi * turns)
        stacked = np.stack([basis * self._window(n)[:, :, None] for n in self.win_lengths], axis=2)
        parts = np.stack([stacked.real, stacked.imag], axis=-1)
        return parts.transpose(1, 0, 2, 3, 4).reshape(self.columns, self.rows, -1).astype(np.float32)

    def _window(self, length: int) -> NDArray[np.float64]:
        window = librosa.util.pad_center(librosa.filters.get_window("hann", length), size=self.n_fft)
        return np.asarray(window, np.float64).reshape(self.rows, self.columns)

    def _folded_mel(self) -> NDArray[np.float32]:
        """Mel weights float32 [half · columns, n_mels] in the order of the bins of the two stages."""
        mel = librosa.filters.mel(
            sr=self.sample_rate, n_fft=self.n_fft, n_mels=self.n_mels, fmin=self.fmin, fmax=self.fmax
        )
        bins = (np.arange(self.half)[:, None] + self.rows * np.arange(self.columns)).ravel()
        folded = np.minimum(bins, self.n_fft - bins)
        _, first, inverse = np.unique(folded, return_index=True, return_inverse=True)
        weights = mel.T[folded]
        weights[first[inverse] != np.arange(len(bins))] = 0  # bins that the two stages give twice
        return np.ascontiguousarray(weights, np.float32)


def _columns_dft(columns: int) -> NDArray[np.float32]:
    """Float32 [(real, imaginary) · columns, (real, imaginary) · columns]."""
    column, bin_ = np.ogrid[:columns, :columns]
    basis = np.exp(-2j * np.pi * column * bin_ / columns)
    return np.block([[basis.real, basis.imag], [-basis.imag, basis.real]]).astype(np.float32)
