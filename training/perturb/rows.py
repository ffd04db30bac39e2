"""What befalls media on their way, on decoded training rows: the operators of the robustness matrix."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.perturb.pictures import Frames
from training.perturb.sound import unclipped
from training.perturb.table import PICTURES, SOUND, PicturePerturbation, SoundPerturbation
from training.settings import FitSettings, Modality

Rows = NDArray[Any]
Perturb = Callable[[Rows, NDArray[np.int64], Sequence[int]], Rows]
"""Rows as the model takes them, their numbers [B] in the row table, the epoch's seed → rows alike."""

_MOST_AT_ONCE = 2


def row_perturbation(modality: Modality, settings: FitSettings) -> Perturb | None:
    """What a share of the training rows goes through; None if that is nothing.

    A row meets one or two perturbations, each at a level drawn between the mildest and the one that
    its setting names. What is drawn depends on the row's number and the seed alone.
    """
    # A photo may have been the still of a video, and a video a series of JPEGs.
    entries = SOUND if modality == "audio" else PICTURES
    levels = [(entry, settings.augment_level(entry.name)) for entry in entries]
    ranges = tuple((entry, strongest) for entry, strongest in levels if strongest)
    if not ranges or not settings.augment_share:
        return None
    return _RowPerturbation(ranges, settings.augment_share, settings.sample_rate)


@dataclass(frozen=True, slots=True)
class _RowPerturbation:
    ranges: tuple[tuple[PicturePerturbation | SoundPerturbation, int], ...]
    share: float
    sample_rate: int

    def __call__(self, values: Rows, rows: NDArray[np.int64], seed: Sequence[int]) -> Rows:
        # Codecs and filters work without Python's lock.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            draws = (np.random.default_rng((*seed, int(row))) for row in rows)
            return np.stack(list(pool.map(self._perturbed, draws, values)))

    def _perturbed(self, rng: np.random.Generator, row: Rows) -> Rows:
        if rng.random() >= self.share:
            return row
        at_once = rng.integers(1, _MOST_AT_ONCE + 1)
        for index in rng.permutation(len(self.ranges))[:at_once]:
            entry, strongest = self.ranges[index]
            level = np.interp(rng.uniform(1, strongest), range(1, len(entry.levels) + 1), entry.levels)
            if isinstance(entry, SoundPerturbation):
                row = _on_sound(entry, rng, row, self.sample_rate, float(level))
            else:
                row = _on_pictures(entry, rng, row, float(level))
        return row


def _on_sound(
    entry: SoundPerturbation, rng: np.random.Generator, row: Rows, sample_rate: int, level: float
) -> Rows:
    pcm = entry.apply(rng, row.astype(np.float64), sample_rate, level)
    return np.asarray(unclipped(pcm), np.float32)


def _on_pictures(entry: PicturePerturbation, rng: np.random.Generator, row: Rows, level: float) -> Rows:
    frames = entry.apply(rng, row.reshape(-1, *row.shape[-3:]), level)
    return _as_large_as(row, frames).reshape(row.shape)


def _as_large_as(row: Rows, frames: Frames) -> Frames:
    """What was cropped, enlarged to the size of the row's frames."""
    height, width = row.shape[-3:-1]
    if frames.shape[1:3] == (height, width):
        return frames
    images = (Image.fromarray(frame) for frame in frames)
    return np.stack([np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)) for image in images])
