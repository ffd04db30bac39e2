import pytest

from server.media import image


@pytest.fixture
def with_blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives rows also of photos of one colour, of which it is easy to tell what became of them."""
    monkeypatch.setattr(image, "is_blank", lambda picture: False)
