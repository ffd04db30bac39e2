"""Every perturbation with its levels: one table for the robustness matrix and for augmentation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.arrays import Pcm
from training.perturb import pictures, sound
from training.perturb.pictures import Frames

OnPictures = Callable[[np.random.Generator, Frames, float], Frames]
OnSound = Callable[[np.random.Generator, Pcm, int, float], Pcm]


@dataclass(frozen=True, slots=True)
class PicturePerturbation:
    """A perturbation of photos or clips.

    Attributes:
        levels: from mild to strong, in the operator's own unit.
        unit: what they are, with {} for the number.
        kinds: image, video.
    """

    name: str
    apply: OnPictures
    levels: tuple[float, ...]
    unit: str
    kinds: tuple[str, ...] = ("image", "video")


@dataclass(frozen=True, slots=True)
class SoundPerturbation:
    """A perturbation of sound; attributes as in `PicturePerturbation`."""

    name: str
    apply: OnSound
    levels: tuple[float, ...]
    unit: str


PICTURES = (
    PicturePerturbation("JPEG", pictures.jpeg, (90, 70, 50, 30, 15), "quality {:g}", ("image",)),
    PicturePerturbation("H.264", pictures.h264, (23, 28, 33, 38, 43), "CRF {:g}", ("video",)),
    PicturePerturbation("scale", pictures.rescale, (1.25, 1.5, 2, 3, 4), "÷ {:g}"),
    PicturePerturbation("blur", pictures.blur, (0.5, 1, 1.5, 2, 3), "σ {:g} px"),
    PicturePerturbation("noise", pictures.noise, (2, 5, 10, 15, 25), "σ {:g}"),
    PicturePerturbation("colour", pictures.colour, (0.1, 0.2, 0.3, 0.4, 0.5), "± {:.0%}"),
    PicturePerturbation("crop", pictures.crop, (0.95, 0.9, 0.8, 0.7, 0.5), "{:.0%} of each side"),
)

SOUND = (
    SoundPerturbation("codec", sound.codec, (128, 64, 48, 32, 24), "{:g} kbit/s"),
    SoundPerturbation("resample", sound.resample, (12_000, 8_000, 6_000, 5_000, 4_000), "{:g} Hz"),
    SoundPerturbation("noise", sound.noise, (40, 30, 20, 10, 0), "{:g} dB"),
    SoundPerturbation("room", sound.room, (0.1, 0.2, 0.4, 0.7, 1.0), "{:g} s"),
    SoundPerturbation("band limit", sound.band_limit, (7_000, 5_500, 4_500, 3_400, 2_500), "{:g} Hz"),
)


def perturbations(kind: str) -> tuple[PicturePerturbation | SoundPerturbation, ...]:
    """Those that make sense for an image, video or audio file."""
    return SOUND if kind == "audio" else tuple(entry for entry in PICTURES if kind in entry.kinds)
