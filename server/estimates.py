"""What media have cost, as an estimate of what others will."""

_NEWEST_SHARE = 0.1
# Powers of four up to 2⁶⁴ bytes.
_CLASSES = 33


def moving_average(mean: float, latest: float) -> float:
    """The exponential moving average after another value; a `mean` of 0 stands for no value before."""
    return mean + _NEWEST_SHARE * (latest - mean) if mean else latest


class BySize:
    """Mean cost of media, in any unit, for each power of four of their size.

    A photo tells nothing of how long videos take. May be used from several threads at once.
    """

    def __init__(self) -> None:
        self._means = [0.0] * _CLASSES

    def learn(self, size: int, cost: float) -> None:
        """After a medium of `size` bytes cost that much."""
        number = _class(size)
        self._means[number] = moving_average(self._means[number], cost)

    def of(self, size: int) -> float:
        """What a medium of `size` bytes will likely cost, by those of the nearest size; 0 before any."""
        number = _class(size)
        if not self._means[number]:
            known = [other for other, mean in enumerate(self._means) if mean]
            number = min(known, key=lambda other: abs(other - number), default=number)
        return self._means[number]


def _class(size: int) -> int:
    return min(size.bit_length() // 2, _CLASSES - 1)
