"""A corpus of speech-like sound, real and forged, made from nothing but a seed."""

from pathlib import Path

import numpy as np

from training.arrays import Pcm
from training.corpus.ambience import draw_music, draw_noise
from training.corpus.pairs import write_pairs
from training.corpus.recording import record
from training.corpus.sound_files import draw_journey, recoded, send
from training.corpus.voice import draw_speaker, speak
from training.draw import draw_operator
from training.forgery.sound import SOUND_OPERATORS
from training.sample import Sample, Split

RATES = (16_000, 22_050, 24_000, 32_000)
"""Sample rates in Hz at which a recording is made and forged."""


def write_speech(folder: Path, count: int, seed: int, workers: int) -> list[Sample]:
    """Writes `count` recordings and a forgery of each to `folder`/{real,fake}/audio/.

    A forgery goes through the same journey as its real source, with the same draws: rate, level,
    noise, format and length say nothing of the label. The files depend on the seed alone.
    """
    return write_pairs(_write_pair, folder, "audio", seed, count, workers)


def _write_pair(folder: Path, seed: int, index: int) -> tuple[Sample, Sample]:
    rng = np.random.default_rng([seed, index])
    rate = int(rng.choice(RATES, p=[0.35, 0.35, 0.2, 0.1]))
    real = _recording(rng, rng.uniform(2.5, 6.0), rate)
    journey = draw_journey(rng)
    operator, forgery = draw_operator(rng, SOUND_OPERATORS)
    fake = forgery(rng, real, rate)
    name = f"audio/speech-{index:05d}.{journey.extension}"
    send(journey, real, rate, folder / "real" / name)
    send(journey, fake, rate, folder / "fake" / name)
    split, group = _split(index), f"speech-{index:05d}"
    return (
        Sample(f"real/{name}", "audio", 0, split, group),
        Sample(f"fake/{name}", "audio", 1, split, group, operator),
    )


def _split(index: int) -> Split:
    place = index % 20
    return "train" if place < 14 else "val" if place < 17 else "test"


def _recording(rng: np.random.Generator, seconds: float, rate: int) -> Pcm:
    """What a microphone hears: mostly one voice, sometimes with music, or no voice at all."""
    kind = rng.random()
    if kind < 0.06:
        pcm = draw_music(rng, seconds, rate)
    elif kind < 0.09:
        pcm = draw_noise(rng, round(seconds * rate), rate)
    else:
        pcm = speak(rng, draw_speaker(rng), seconds, rate)
        if rng.random() < 0.1:
            pcm = pcm + draw_music(rng, seconds, rate) * rng.uniform(0.02, 0.4)
    pcm = record(rng, pcm, rate)
    return recoded(rng, pcm, rate) if rng.random() < 0.25 else pcm
