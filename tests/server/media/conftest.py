import av
import pytest

from server.media import image
from server.media.mixing import Downmix


@pytest.fixture
def with_blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives rows also of photos of one colour, of which it is easy to tell what became of them."""
    monkeypatch.setattr(image, "is_blank", lambda picture: False)


@pytest.fixture
def decoded_samples(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Samples of each frame of sound that is decoded from now on, in this process."""
    decoded = []

    class Counted(Downmix):
        def add(self, frame: av.AudioFrame) -> None:
            decoded.append(frame.samples)
            super().add(frame)

    monkeypatch.setattr("server.media.mixing.Downmix", Counted)
    return decoded
