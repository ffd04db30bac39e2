import pytest

from server.detect.media_bytes import MediaBytes
from server.errors import DeadlineExceeded, MediaLimitExceeded, Overloaded


def test_what_is_held_is_given_back_when_its_request_is_over() -> None:
    media_bytes = MediaBytes(100)
    with media_bytes.hold(60) as held:
        held.add(20)
        assert media_bytes.held == 80
        with pytest.raises(Overloaded), media_bytes.hold(21):
            pass
        with media_bytes.hold(20):
            assert media_bytes.held == 100
    assert media_bytes.held == 0


def test_a_request_that_could_never_fit_is_not_told_to_come_back() -> None:
    media_bytes = MediaBytes(100)
    with media_bytes.hold(60) as held, pytest.raises(MediaLimitExceeded):
        held.add(41)
    assert media_bytes.held == 0


def test_a_fetch_that_outlives_its_request_is_stopped_and_holds_nothing() -> None:
    media_bytes = MediaBytes(100)
    with media_bytes.hold() as held:
        held.add(10)
    with pytest.raises(DeadlineExceeded):
        held.add(10)
    assert media_bytes.held == 0
