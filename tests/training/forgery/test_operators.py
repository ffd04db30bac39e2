"""Every operator changes the picture, keeps its size, and touches nothing outside its mask or region."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.corpus import clips, images
from training.corpus.textures import power_law
from training.forgery.inconsistency import _smoothed
from training.forgery.masks import blend, region_of, soft_mask
from training.forgery.resample import upsampled
from training.sample import Region


def photo(height: int = 180, width: int = 240, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    planes = np.stack([power_law(rng, height, width, 1.0) for _ in range(3)], axis=-1)
    return np.clip(128 + 40 * planes + rng.normal(0, 2, planes.shape), 0, 255).astype(np.uint8)


def outside(region: Region, height: int, width: int) -> NDArray[np.bool_]:
    left, top, right, bottom = region
    mask = np.ones((height, width), bool)
    mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = False
    return mask


def size(region: Region) -> float:
    left, top, right, bottom = region
    return (right - left) * (bottom - top)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", images.FORGERIES)
def test_picture_operators(name: str, seed: int) -> None:
    operator, _ = images.FORGERIES[name]
    original = photo(seed=seed)
    forged, mask = operator(np.random.default_rng(seed), original)
    assert forged.shape == original.shape
    assert forged.dtype == np.uint8
    assert not np.array_equal(forged, original)
    assert mask.shape == original.shape[:2]
    np.testing.assert_array_equal(forged[mask == 0], original[mask == 0])
    again, _ = operator(np.random.default_rng(seed), original)
    np.testing.assert_array_equal(forged, again)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", clips.FORGERIES)
def test_clip_operators_do_not_hold_still(name: str, seed: int) -> None:
    frames = [photo(120, 160, seed)] * 6
    forged, region = clips.FORGERIES[name][0](np.random.default_rng(seed), frames)
    assert len(forged) == 6
    untouched = outside(region, 120, 160)
    for frame in forged:
        assert frame.shape == frames[0].shape
        assert frame.dtype == np.uint8
        moved = np.abs(frame[untouched].astype(int) - frames[0][untouched])
        assert moved.size == 0 or moved.mean() < 1
    assert any(not np.array_equal(forged[0], frame) for frame in forged[1:])
    changed = np.any([(frame != frames[0]).any(axis=-1) for frame in forged], axis=0)
    assert size(region_of(changed)) == pytest.approx(size(region), rel=0.25)
    again, _ = clips.FORGERIES[name][0](np.random.default_rng(seed), frames)
    np.testing.assert_array_equal(forged, again)


def test_smoothing_makes_nothing_darker() -> None:
    original = photo()
    assert _smoothed(np.random.default_rng(0), original).mean() == pytest.approx(original.mean(), abs=0.3)


def test_masks_vary_in_size_and_softness() -> None:
    masks = [soft_mask(np.random.default_rng(seed), 200, 300) for seed in range(40)]
    areas = [float((mask > 0.25).mean()) for mask in masks]
    assert min(areas) < 0.08 < 0.25 < max(areas)
    assert all(mask.min() >= 0 and mask.max() <= 1 for mask in masks)


def test_a_region_holds_its_mask() -> None:
    mask = np.zeros((100, 200), np.float32)
    mask[10:30, 50:150] = 1
    assert region_of(mask) == (0.25, 0.1, 0.75, 0.3)


def test_blending_is_exact_at_both_ends() -> None:
    one, other = photo(seed=1), photo(seed=2)
    mask = np.zeros(one.shape[:2], np.float32)
    mask[40:80] = 1
    mixed = blend(one, other, mask)
    np.testing.assert_array_equal(mixed[40:80], other[40:80])
    np.testing.assert_array_equal(mixed[mask == 0], one[mask == 0])


def test_upsampling_removes_fine_detail() -> None:
    original = photo()
    finest = [
        np.abs(np.diff(upsampled(np.random.default_rng(seed), original).astype(float), axis=1)).mean()
        for seed in range(12)
    ]
    assert np.median(finest) < np.abs(np.diff(original.astype(float), axis=1)).mean()
