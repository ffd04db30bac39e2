"""Forged rows are as their sources were recorded."""

import numpy as np
import pytest

from tests.media import photo, speech
from training.forgery.rows import forge_rows
from training.forgery.sound import SOUND_OPERATORS
from training.settings import Modality

RATE = 16_000


@pytest.mark.parametrize("name", SOUND_OPERATORS)
@pytest.mark.parametrize("loudness", [0.02, 1.0])
def test_forged_sound_is_as_loud_as_its_source_and_in_16_bits(
    monkeypatch: pytest.MonkeyPatch, name: str, loudness: float
) -> None:
    monkeypatch.setattr("training.forgery.rows.SOUND_OPERATORS", {name: (SOUND_OPERATORS[name][0], 1.0)})
    window = speech(1.0, RATE)
    window *= loudness / np.abs(window).max()
    found, forged = forge_rows(np.random.default_rng(0), window[None], "audio", RATE)
    assert found == name
    assert forged.shape == (1, RATE)
    assert forged.dtype == np.float32
    assert (forged * 32_768 == np.rint(forged * 32_768)).all()
    assert np.abs(forged).max() <= 1
    # What would be clipped is softer.
    full = np.abs(forged).max() > 0.999
    assert full or forged.std() == pytest.approx(window.std(), rel=0.01)


@pytest.mark.parametrize("modality", ["image", "video"])
def test_every_row_is_forged_from_itself(modality: Modality) -> None:
    pictures = np.stack([photo(96, 64, seed) for seed in range(3)])
    rows = pictures if modality == "image" else np.repeat(pictures[:, None], 3, axis=1)
    _, forged = forge_rows(np.random.default_rng(0), rows, modality, RATE)
    off = np.abs(forged[:, None].astype(float) - rows).reshape(3, 3, -1).mean(axis=-1)
    assert off.argmin(axis=1).tolist() == [0, 1, 2]
    assert (off.diagonal() > 0).all()
