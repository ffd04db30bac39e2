"""What a vocal tract does over a few seconds of made-up speech: tracks of its parameters.

Formants of the vowels follow Peterson and Barney (1952), the rest Klatt (1980).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Track = NDArray[np.float64]

STEP_SECONDS = 0.0025
"""Time from one value of a track to the next."""


@dataclass(frozen=True, slots=True)
class Phoneme:
    """Targets of one sound of a grown man; gains are linear, times in seconds."""

    formants: tuple[float, float, float]
    seconds: float
    voicing: float = 1.0
    aspiration: float = 0.0
    frication: float = 0.0
    noise_centre: float = 4000.0
    noise_width: float = 2000.0
    nasal: float = 0.0


VOWELS = tuple(
    Phoneme(formants, seconds=0.11)
    for formants in (
        (270, 2290, 3010),
        (390, 1990, 2550),
        (450, 2200, 2700),
        (530, 1840, 2480),
        (660, 1720, 2410),
        (730, 1090, 2440),
        (570, 840, 2410),
        (480, 900, 2400),
        (440, 1020, 2240),
        (300, 870, 2240),
        (640, 1190, 2390),
        (490, 1350, 1690),
        (280, 1900, 2200),
    )
)
SONORANTS = (
    Phoneme((360, 1100, 2700), 0.06, voicing=0.6),
    Phoneme((350, 1150, 1500), 0.06, voicing=0.6),
    Phoneme((300, 700, 2300), 0.06, voicing=0.6),
    Phoneme((270, 2300, 3050), 0.06, voicing=0.6),
    Phoneme((270, 1000, 2200), 0.07, voicing=0.5, nasal=1.0),
    Phoneme((270, 1600, 2500), 0.07, voicing=0.5, nasal=1.0),
    Phoneme((270, 2000, 2600), 0.07, voicing=0.5, nasal=1.0),
)
FRICATIVES = (
    Phoneme((320, 1400, 2550), 0.11, 0.0, frication=0.8, noise_centre=6300, noise_width=2600),
    Phoneme((300, 1850, 2600), 0.11, 0.0, frication=0.7, noise_centre=3400, noise_width=1800),
    Phoneme((340, 1100, 2100), 0.10, 0.0, frication=0.15, noise_centre=5500, noise_width=7000),
    Phoneme((320, 1300, 2550), 0.09, 0.0, frication=0.12, noise_centre=6000, noise_width=6000),
    Phoneme((500, 1500, 2500), 0.07, 0.0, aspiration=0.7),
    Phoneme((320, 1400, 2550), 0.08, 0.45, frication=0.4, noise_centre=6300, noise_width=2600),
    Phoneme((300, 1850, 2600), 0.08, 0.45, frication=0.35, noise_centre=3400, noise_width=1800),
    Phoneme((340, 1100, 2100), 0.06, 0.5, frication=0.08, noise_centre=5500, noise_width=7000),
)
PLOSIVES = (
    Phoneme((250, 900, 2200), 0.07, 0.0, frication=0.5, noise_centre=900, noise_width=900),
    Phoneme((250, 1750, 2600), 0.07, 0.0, frication=0.7, noise_centre=4600, noise_width=2500),
    Phoneme((250, 1900, 2300), 0.07, 0.0, frication=0.6, noise_centre=2000, noise_width=700),
    Phoneme((250, 900, 2200), 0.06, 0.15, frication=0.4, noise_centre=900, noise_width=900),
    Phoneme((250, 1750, 2600), 0.06, 0.15, frication=0.5, noise_centre=4600, noise_width=2500),
    Phoneme((250, 1900, 2300), 0.06, 0.15, frication=0.5, noise_centre=2000, noise_width=700),
)


@dataclass(frozen=True, slots=True)
class Tracks:
    """One value per STEP_SECONDS; formants [steps, 3] in Hz, stress in [0, 1], the rest as in Phoneme."""

    formants: Track
    voicing: Track
    aspiration: Track
    frication: Track
    noise_centre: Track
    noise_width: Track
    nasal: Track
    stress: Track


@dataclass(slots=True)
class _Score:
    """Segments in a row, before coarticulation smooths them."""

    rows: list[tuple[float, ...]]

    def add(self, sound: Phoneme, seconds: float, stress: float = 0.0, **changed: float) -> None:
        values = {name: getattr(sound, name) for name in _SCALARS} | changed
        row = (*sound.formants, *(values[name] for name in _SCALARS), stress)
        self.rows.extend([row] * max(1, round(seconds / STEP_SECONDS)))


_SCALARS = ("voicing", "aspiration", "frication", "noise_centre", "noise_width", "nasal")


def utter(rng: np.random.Generator, seconds: float, tract: float, pace: float) -> Tracks:
    """Draws syllables until `seconds` are full.

    Args:
        rng: source of the random choices.
        seconds: length of the utterance.
        tract: factor on all resonances; about 1.17 for a woman and 1.35 for a child.
        pace: factor on the durations of all sounds.
    """
    score = _Score([])
    until_pause = int(rng.integers(2, 12))
    while len(score.rows) * STEP_SECONDS < seconds:
        _syllable(rng, score, pace)
        until_pause -= 1
        if not until_pause:
            _pause(rng, score)
            until_pause = int(rng.integers(2, 12))
    table = np.array(score.rows)[: round(seconds / STEP_SECONDS)]
    return _coarticulate(rng, table, tract, pace)


def _syllable(rng: np.random.Generator, score: _Score, pace: float) -> None:
    stress = float(rng.random() ** 2)
    length = pace * rng.lognormal(0, 0.2)
    onset = rng.random()
    if onset < 0.35:
        _plosive(rng, score, length)
    elif onset < 0.60:
        _hold(rng, score, FRICATIVES, length)
    if rng.random() < 0.35:
        _hold(rng, score, SONORANTS, length)
    _hold(rng, score, VOWELS, length * (0.8 + 0.7 * stress), stress)
    if rng.random() < 0.25:
        _hold(rng, score, VOWELS, 0.7 * length, stress)
    coda = rng.random()
    if coda < 0.25:
        _hold(rng, score, SONORANTS, length)
    elif coda < 0.40:
        _hold(rng, score, FRICATIVES, length)
    elif coda < 0.50:
        _plosive(rng, score, length)


def _hold(
    rng: np.random.Generator, score: _Score, sounds: tuple[Phoneme, ...], pace: float, stress: float = 0.0
) -> None:
    sound = sounds[rng.integers(len(sounds))]
    loud = float(rng.lognormal(0, 0.35)) * (1 + 0.6 * stress)
    score.add(
        sound,
        sound.seconds * pace * rng.lognormal(0, 0.25),
        stress,
        voicing=sound.voicing * loud,
        frication=sound.frication * loud,
    )


def _plosive(rng: np.random.Generator, score: _Score, pace: float) -> None:
    sound = PLOSIVES[rng.integers(len(PLOSIVES))]
    score.add(sound, sound.seconds * pace * rng.lognormal(0, 0.25), frication=0.0)
    score.add(sound, rng.uniform(0.004, 0.014), voicing=0.0)
    if not sound.voicing:
        score.add(sound, rng.uniform(0.01, 0.06) * pace, frication=0.05, aspiration=0.6)


def _pause(rng: np.random.Generator, score: _Score) -> None:
    rest = Phoneme((500, 1500, 2500), 0.0, voicing=0.0)
    breath = 0.15 if rng.random() < 0.3 else 0.0
    score.add(rest, float(rng.choice([0.1, 0.2, 0.4, 0.8])) * rng.uniform(0.5, 1.5), aspiration=breath)


def _coarticulate(rng: np.random.Generator, table: Track, tract: float, pace: float) -> Tracks:
    """Formants glide slowly and undershoot; gains change fast, bursts fastest."""
    table = table.copy()
    table[:, :3] *= tract * rng.normal(1, 0.03, 3)
    table[:, 6] *= rng.uniform(0.85, 1.2)
    slow, fast = rng.uniform(0.012, 0.03) * pace, rng.uniform(0.004, 0.010)
    smooth = [gaussian_filter1d(table[:, :3], slow / STEP_SECONDS, axis=0)]
    smooth += [
        gaussian_filter1d(table[:, column], sigma / STEP_SECONDS)
        for column, sigma in zip(range(3, 10), (fast, fast, 0.0015, fast, fast, 0.01, 0.05), strict=True)
    ]
    wander = 1 + gaussian_filter1d(rng.standard_normal(smooth[0].shape), 20, axis=0) * 0.1
    return Tracks(smooth[0] * wander, *smooth[1:])
