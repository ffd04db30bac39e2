import numpy as np
import pytest
from numpy.typing import NDArray

from training.models.spectrum import LocalSpectrum


def spectrum(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(LocalSpectrum()(pixels[None].astype(np.float32))[0])


def flat(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    return np.full((height, width, 3), (90, 120, 200), np.uint8)


def test_a_flat_picture_has_no_detail_anywhere_not_at_its_border_either() -> None:
    found = spectrum(flat())
    assert found.shape[:2] == (8, 12)
    np.testing.assert_allclose(found, np.log(0.5), atol=0.01)


@pytest.mark.parametrize(("height", "width"), [(61, 99), (64, 50)])
def test_any_size_will_do(height: int, width: int) -> None:
    assert spectrum(flat(height, width)).shape[:2] == (-(-height // 8), -(-width // 8))


def test_noise_shows_where_it_is() -> None:
    picture = flat().astype(np.float64)
    picture[:, 48:] += np.random.default_rng(0).normal(0, 5, (64, 48, 3))
    found = spectrum(np.clip(picture, 0, 255).astype(np.uint8))
    assert found[:, 8:].mean() > found[:, :5].mean() + 1


def test_a_picture_and_its_transposed_have_the_same_bands() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_allclose(
        spectrum(picture.swapaxes(0, 1).copy()), spectrum(picture).swapaxes(0, 1), atol=1e-3
    )
