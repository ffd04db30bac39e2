"""How long a request will take, learnt from those before."""

# All but this share of the requests take no longer than forecast.
_LATE_SHARE = 0.005
_STEP = 0.05
# Whatever was learnt in quiet, other work on the machine or a new model can slow everything for a while.
_LEAST, _MOST = 1.5, 4.0
# Of the time that a request has: an estimate below this share decided nothing.
_TELLING_SHARE = 0.25
_NEWEST_SHARE = 0.1


class Forecast:
    """Corrects estimated waits by how they turned out.

    An estimate adds up what work is known. It leaves out the request's own, and how unevenly the machine
    runs, and who is let in by it alone is as likely late as not.

    Attributes:
        alone: seconds that a request takes that finds nothing before it, on average.
        stretch: how many times longer than wait and own work nearly all requests take: a quantile that
            moves with each of them (stochastic approximation, Robbins and Monro, 1951).
    """

    def __init__(self) -> None:
        self.alone = 0.0
        self.stretch = _LEAST

    def seconds(self, wait: float) -> float:
        """In which nearly all requests are answered whose wait is estimated so; 0 if there is none."""
        return self.stretch * (wait + self.alone) if wait else 0.0

    def learn(self, wait: float, took: float, allowed: float) -> None:
        """After a request took `took` of the `allowed` seconds until its deadline, late or not."""
        if not wait:
            self.alone += _NEWEST_SHARE * (took - self.alone) if self.alone else took
        elif wait + self.alone >= _TELLING_SHARE * allowed:
            longer = took > self.seconds(wait)
            step = _STEP * (1 - _LATE_SHARE if longer else -_LATE_SHARE)
            self.stretch = min(_MOST, max(_LEAST, self.stretch * (1 + step)))
