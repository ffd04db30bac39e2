"""How sound travels: sample rate, level, a little more noise, a format. The same for real and fake."""

from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import cast

import av
import numpy as np
import soxr

from server.media.mixing import mono
from training.arrays import Pcm
from training.corpus.ambience import draw_noise
from training.corpus.recording import equalise

FORMATS = {
    "wav": ("wav", "pcm_s16le", (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)),
    "flac": ("flac", "flac", (16_000, 22_050, 44_100, 48_000)),
    "mp3": ("mp3", "libmp3lame", (16_000, 22_050, 24_000, 44_100, 48_000)),
    "m4a": ("ipod", "aac", (16_000, 22_050, 32_000, 44_100, 48_000)),
    "ogg": ("ogg", "libopus", (16_000, 24_000, 48_000)),
}
"""File extension → container, codec, sample rates."""

EXACT = {"fflags": "+bitexact"}
"""Keeps containers from writing random serial numbers."""

LOSSY_FORMATS = ("mp3", "m4a", "ogg")


@dataclass(frozen=True, slots=True)
class Journey:
    """One way to a listener; drawn once for a recording and all fakes made of it.

    Attributes:
        seed: of the noise and the response on the way.
        rate: sample rate of the file in Hz.
        extension: key of FORMATS.
        kilobits: bit rate of a lossy format.
        level: standard deviation of the signal in dB of full scale, before clipping.
        noise: added on the way, in dB of the signal; None for none.
        response: strength of the frequency response on the way in dB.
    """

    seed: int
    rate: int
    extension: str
    kilobits: int
    level: float
    noise: float | None
    response: float


def draw_journey(rng: np.random.Generator) -> Journey:
    extension = str(rng.choice(list(FORMATS), p=[0.4, 0.1, 0.2, 0.15, 0.15]))
    return Journey(
        seed=int(rng.integers(2**32)),
        rate=int(rng.choice(FORMATS[extension][2])),
        extension=extension,
        kilobits=int(rng.choice([24, 32, 48, 64, 96, 128])),
        level=rng.uniform(-36, -12),
        noise=-rng.uniform(20, 60) if rng.random() < 0.4 else None,
        response=rng.uniform(1, 5) if rng.random() < 0.3 else 0.0,
    )


def send(journey: Journey, pcm: Pcm, rate: int, path: Path) -> None:
    """Writes float sound of any level at `rate` to `path`, which ends in the journey's extension."""
    rng = np.random.default_rng(journey.seed)
    pcm = soxr.resample(pcm, rate, journey.rate)
    if journey.response:
        pcm = equalise(rng, pcm, journey.response)
    pcm = pcm / (pcm.std() + 1e-9)
    if journey.noise is not None:
        pcm = pcm + draw_noise(rng, len(pcm), journey.rate) * 10 ** (journey.noise / 20)
    encode(pcm * 10 ** (journey.level / 20), journey.rate, path, journey.extension, journey.kilobits)


def encode(pcm: Pcm, rate: int, file: Path | BytesIO, extension: str, kilobits: int = 64) -> None:
    """Writes mono sound in [-1, 1] in one of FORMATS."""
    container, codec, _ = FORMATS[extension]
    with av.open(
        str(file) if isinstance(file, Path) else file, "w", format=container, options=EXACT
    ) as output:
        stream = cast("av.AudioStream", output.add_stream(codec, rate=rate, layout="mono"))
        if extension in LOSSY_FORMATS:
            stream.bit_rate = kilobits * 1000
        samples = np.round(np.clip(pcm, -1, 1) * 32_767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def recoded(rng: np.random.Generator, pcm: Pcm, rate: int) -> Pcm:
    """The sound after a lossy codec; its length may change by the codec's delay."""
    extension = str(rng.choice(LOSSY_FORMATS))
    between = int(rng.choice([other for other in FORMATS[extension][2] if other >= 16_000]))
    return through_file(pcm * 0.7, rate, between, extension, int(rng.integers(24, 128)))


def through_file(pcm: Pcm, rate: int, between: int, extension: str, kilobits: int) -> Pcm:
    """The sound, at `rate`, after a file of one of FORMATS with the sample rate `between`."""
    file = BytesIO()
    encode(soxr.resample(pcm, rate, between), between, file, extension, kilobits)
    file.seek(0)
    with av.open(file, "r") as coded:
        decoded = mono(coded.decode(audio=0)).astype(np.float64)
        return np.asarray(soxr.resample(decoded, coded.streams.audio[0].rate, rate))
