"""Forged versions of a real file's decoded rows.

Operators that training's augmentation could undo or imitate, such as whole pictures enlarged from
small ones, are not among them: their labels would be wrong.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.draw import draw_operator
from training.forgery.blend import self_blend
from training.forgery.flicker import flicker, texture_flicker
from training.forgery.resample import upsample_region
from training.forgery.sound import SOUND_OPERATORS
from training.settings import Modality

Rows = NDArray[Any]
_Operators = Mapping[str, tuple[Callable[..., Any], float]]

PICTURE_OPERATORS: _Operators = {
    "self_blend": (partial(self_blend, either=True), 0.8),
    "upsample_region": (upsample_region, 0.2),
}
CLIP_OPERATORS: _Operators = {"flicker": (flicker, 0.7), "texture_flicker": (texture_flicker, 0.3)}
"""Name → operator and share of the fakes, as in SOUND_OPERATORS."""


def forge_rows(rng: np.random.Generator, rows: Rows, modality: Modality, rate: int) -> tuple[str, Rows]:
    """Draws an operator for all rows of a file, and everything else for each; gives its name and the rows.

    Args:
        rows: of a real file, as the model takes them; see `training.rows.RowTable`.
        rate: of sound, in Hz.
    """
    match modality:
        case "image":
            name, operator = draw_operator(rng, PICTURE_OPERATORS)
            return name, np.stack([operator(rng, row)[0] for row in rows])
        case "video":
            name, operator = draw_operator(rng, CLIP_OPERATORS)
            return name, np.stack([operator(rng, list(clip))[0] for clip in rows])
        case "audio":
            name, operator = draw_operator(rng, SOUND_OPERATORS)
            pcm = rows.astype(np.float64)
            return name, np.stack([_as_recorded(operator(rng, window, rate), window) for window in pcm])


def _as_recorded(forged: NDArray[np.float64], real: NDArray[np.float64]) -> NDArray[np.float32]:
    """As loud as the real sound and in 16 bits, so that neither tells them apart."""
    louder = real.std() / max(float(forged.std()), 1e-9)
    pcm = forged * min(louder, 1 / max(float(np.abs(forged).max()), 1e-9))
    return np.asarray(np.rint(pcm * 32_767) / 32_768, np.float32)
