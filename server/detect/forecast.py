"""How long a request will take, learnt from those before."""

from server.estimates import BySize

# Of those that were let in with little time to spare, the share that may be late.
_LATE_SHARE = 0.03
_STEP = 0.05
# Bounds of `stretch`: other work on the machine or a new model can slow everything for a while.
_LEAST, _MOST = 1.5, 4.0
# Nothing is learnt from a request that was forecast to need less than this share of its time.
_TELLING_SHARE = 0.5


class Forecast:
    """Corrects estimated waits by how they turned out.

    An estimate adds up the work that goes first. It knows neither the request's own nor how unevenly the
    machine runs: of the requests that it alone lets in, half would be late.

    Attributes:
        alone: seconds of a request that has to wait for nothing.
        stretch: factor on estimated waits, adjusted with each request so that few are late (stochastic
            approximation, Robbins and Monro, 1951).
    """

    def __init__(self) -> None:
        self.alone = BySize()
        self.stretch = _LEAST

    def seconds(self, wait: float, size: int) -> float:
        """Until a request of `size` bytes with this estimated wait is likely answered; 0 if there is none."""
        return self.stretch * wait + self.alone.of(size) if wait else 0.0

    def learn(self, wait: float, size: int, took: float, allowed: float) -> None:
        """After a request took `took` of the `allowed` seconds until its deadline, late or not."""
        if not wait:
            self.alone.learn(size, took)
        elif self.seconds(wait, size) >= _TELLING_SHARE * allowed:
            step = _STEP * (1 - _LATE_SHARE if took >= allowed else -_LATE_SHARE)
            self.stretch = min(_MOST, max(_LEAST, self.stretch * (1 + step)))
