"""Training rows are perturbed by number and seed: in any batch, in any process, as often as they are read."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.media import moving_pictures, speech
from training.perturb.rows import row_perturbation
from training.perturb.table import PICTURES, SOUND, PicturePerturbation
from training.settings import MODALITIES, AugmentSettings, FitSettings, Modality

ALL = FitSettings(augment_share=1)
LEVELS = [name for name in AugmentSettings.model_fields if name != "augment_share"]
SEED = (7, 0, 3)


def rows(modality: Modality, count: int = 12) -> NDArray[Any]:
    """Of odd sizes too: codecs have their own wishes."""
    frames = np.stack(moving_pictures(count * 3, 70, 50))
    match modality:
        case "image":
            return frames[:count]
        case "video":
            return frames.reshape(count, 3, 50, 70, 3)
        case "audio":
            return speech(0.5 * count).reshape(count, -1)


def only(name: str, level: int) -> FitSettings:
    return FitSettings(augment_share=1, **{**dict.fromkeys(LEVELS, 0), name: level})


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_row_depends_on_its_number_and_the_seed_alone(modality: Modality) -> None:
    values, perturb = rows(modality), row_perturbation(modality, ALL)
    assert perturb is not None
    numbers = np.arange(100, 112)
    together = perturb(values, numbers, SEED)
    assert (together.shape, together.dtype) == (values.shape, values.dtype)
    assert (together != values).reshape(len(values), -1).any(axis=1).sum() >= 10
    some = np.array([7, 2, 9])
    np.testing.assert_array_equal(perturb(values[some], numbers[some], SEED), together[some])
    another_epoch = perturb(values, numbers, (7, 0, 4))
    assert (another_epoch != together).reshape(len(values), -1).any(axis=1).sum() >= 10


@pytest.mark.parametrize("entry", [*PICTURES, *SOUND], ids=lambda entry: entry.name)
def test_every_perturbation_of_the_matrix_has_a_level_and_does_more_at_the_highest(entry: Any) -> None:
    modality: Modality = "audio" if entry in SOUND else "image"
    name = next(name for name in LEVELS if only(name, 5).augment_level(entry.name))
    values, numbers = rows(modality), np.arange(12)
    lost = []
    for level in (1, 5):
        perturb = row_perturbation(modality, only(name, level))
        assert perturb is not None
        changed = perturb(values, numbers, SEED)
        lost.append(np.abs(spectrum(changed) - spectrum(values)).mean())
    assert 0 < lost[0] < lost[1]


def spectrum(values: NDArray[Any]) -> NDArray[np.float64]:
    """Without phases: a filter's delay is no loss."""
    return np.abs(np.fft.rfft(values.reshape(len(values), -1).astype(np.float64)))


@pytest.mark.parametrize("modality", MODALITIES)
def test_it_is_on_by_default_and_off_at_level_or_share_zero(modality: Modality) -> None:
    values, numbers = rows(modality), np.arange(12)
    perturb = row_perturbation(modality, FitSettings())
    assert perturb is not None
    changed = (perturb(values, numbers, SEED) != values).reshape(len(values), -1).any(axis=1)
    assert 0 < changed.sum() < len(values)
    assert row_perturbation(modality, FitSettings(augment_share=0)) is None
    assert row_perturbation(modality, FitSettings(**dict.fromkeys(LEVELS, 0))) is None


@pytest.mark.parametrize("name", ["augment_colour", "augment_crop", "augment_scale"])
def test_all_frames_of_a_clip_meet_the_same(name: str) -> None:
    perturb = row_perturbation("video", only(name, 5))
    assert perturb is not None
    still = np.repeat(rows("image")[:, None], 3, axis=1)
    changed = perturb(still, np.arange(12), SEED)
    assert (changed != still).any()
    np.testing.assert_array_equal(changed, np.repeat(changed[:, :1], 3, axis=1))


def test_a_row_meets_one_or_two_perturbations(monkeypatch: pytest.MonkeyPatch) -> None:
    counting = [
        PicturePerturbation(entry.name, lambda rng, frames, level: frames + 1, (0, 0, 0, 0, 0), "")
        for entry in PICTURES
    ]
    monkeypatch.setattr("training.perturb.rows.PICTURES", counting)
    perturb = row_perturbation("image", ALL)
    assert perturb is not None
    met = perturb(np.zeros((40, 2, 2, 3), np.uint8), np.arange(40), SEED)
    assert np.unique(met).tolist() == [1, 2]


def test_sound_that_grows_louder_is_not_clipped() -> None:
    perturb = row_perturbation("audio", only("augment_noise", 5))
    assert perturb is not None
    loud = rows("audio") / np.abs(rows("audio")).max()
    changed = perturb(loud, np.arange(12), SEED)
    assert np.abs(changed).max() <= 1
    assert ((np.abs(changed) == 1).sum(axis=1) <= 1).all()
