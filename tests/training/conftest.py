from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures of noise, of which the fake ones have more."""
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(0)
    for label, deviation in (("real", 10), ("fake", 14)):
        (folder / label / "images").mkdir(parents=True)
        for number in range(30):
            pixels = np.clip(random.normal(128, deviation, (48, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / "images" / f"{label}{number}.png")
    return folder
