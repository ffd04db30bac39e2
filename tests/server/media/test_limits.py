from collections.abc import Callable

import pytest

from server.errors import MediaLimitExceeded
from server.media.limits import Budget, MediaLimits

BUDGET = Budget(MediaLimits(max_bytes=100, max_pixels=600, max_duration_seconds=2.5))


def test_what_just_fits_is_allowed() -> None:
    BUDGET.check_bytes(100)
    BUDGET.check_pixels(20, 30)
    BUDGET.check_duration(2.5)


@pytest.mark.parametrize(
    "check",
    [
        lambda: BUDGET.check_bytes(101),
        lambda: BUDGET.check_pixels(601, 1),
        lambda: BUDGET.check_duration(2.501),
    ],
)
def test_anything_more_is_not(check: Callable[[], None]) -> None:
    with pytest.raises(MediaLimitExceeded, match="more than the"):
        check()


def test_packets_are_counted() -> None:
    budget = Budget(MediaLimits(max_packets=2))
    for _ in range(2):
        budget.take_packet()
    with pytest.raises(MediaLimitExceeded, match="more than 2 packets"):
        budget.take_packet()


def test_decoders_beside_the_first_share_a_quarter_of_the_memory() -> None:
    budget = Budget(MediaLimits(max_threads=8, max_memory_bytes=2**30))
    # Each has 8 MiB, and 48 bytes a pixel.
    assert [budget.decode_threads(*size) for size in ((64, 64), (1024, 1024), (8192, 8192))] == [8, 5, 1]
