"""A still picture as its decoder gets it."""

from dataclasses import dataclass

from server.media.orientation import UPRIGHT, Orientation


@dataclass(frozen=True, slots=True)
class Still:
    """What was read of its header.

    Attributes:
        payload: what the decoder gets.
        width, height: as stored, before turning it upright.
        opaque: whether viewers disregard the transparency that the decoder finds.
    """

    payload: bytes
    width: int
    height: int
    orientation: Orientation = UPRIGHT
    warnings: tuple[str, ...] = ()
    opaque: bool = False
