"""How long a request will take, learnt from those before."""

# How many of those that were let in with little time to spare may be late.
_LATE_SHARE = 0.03
_STEP = 0.05
# Whatever was learnt in quiet, other work on the machine or a new model can slow everything for a while.
_LEAST, _MOST = 1.5, 4.0
# Of the time that a request has: a forecast below this share decided nothing.
_TELLING_SHARE = 0.5
_NEWEST_SHARE = 0.1


class Forecast:
    """Corrects estimated waits by how they turned out.

    An estimate adds up what work is known. It leaves out the request's own, and how unevenly the machine
    runs, and who is let in by it alone is as likely late as not.

    Attributes:
        alone: seconds that a request takes that finds nothing before it, on average.
        stretch: how many times longer than estimated a wait is taken for, such that few are late; it moves
            with each request (stochastic approximation, Robbins and Monro, 1951).
    """

    def __init__(self) -> None:
        self.alone = 0.0
        self.stretch = _LEAST

    def seconds(self, wait: float) -> float:
        """In which a request is likely answered whose wait is estimated so; 0 if there is none."""
        return self.stretch * wait + self.alone if wait else 0.0

    def learn(self, wait: float, took: float, allowed: float) -> None:
        """After a request took `took` of the `allowed` seconds until its deadline, late or not."""
        if not wait:
            self.alone += _NEWEST_SHARE * (took - self.alone) if self.alone else took
        elif self.seconds(wait) >= _TELLING_SHARE * allowed:
            step = _STEP * (1 - _LATE_SHARE if took >= allowed else -_LATE_SHARE)
            self.stretch = min(_MOST, max(_LEAST, self.stretch * (1 + step)))
