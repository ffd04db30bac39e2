import keras
import pytest


@pytest.fixture(autouse=True)
def _same_weights_in_every_run() -> None:
    keras.utils.set_random_seed(0)
