import pytest

from server.detect.media_bytes import MediaBytes, caller
from server.errors import DeadlineExceeded, MediaLimitExceeded, Overloaded, RateLimited


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


def test_each_caller_has_a_share_and_all_of_them_the_whole() -> None:
    media_bytes = MediaBytes(100, 60)
    with media_bytes.hold(10):
        caller.set("alice")
        with media_bytes.hold(50), pytest.raises(RateLimited):
            media_bytes.hold(11)
        with media_bytes.hold(50), media_bytes.hold(10):
            caller.set("bob")
            with media_bytes.hold(30), pytest.raises(Overloaded, match="the server holds"):
                media_bytes.hold(1)
            with pytest.raises(MediaLimitExceeded, match="60"):
                media_bytes.hold(61)
    caller.set("")
    with media_bytes.hold(100):
        assert media_bytes.held == 100
    assert media_bytes.held == 0
