"""How many requests are around at a time, and how long one of them is worth keeping back for the others."""

_NEWEST_SHARE = 0.1
# Of the latest runs: with so many that had company, the next one will have it before it ends.
_OFTEN = 0.8
# Threads that share a lock need about so long to hand over a batch and its answers, whatever it holds.
_HAND_OVER_SECONDS = 0.002


class Company:
    """Learns from the runs of an engine; used from its threads.

    A run that costs much the same with more requests is worth waiting for them about as long as it takes
    itself: whoever waits so long loses at most as much again, and each request that joins saves a run
    (after the online algorithm for acknowledging packets of Dooly, Goldman and Scott, 1998).

    Args:
        delay: seconds to wait for more requests, whatever was learnt; None for what was learnt.
    """

    def __init__(self, delay: float | None = None) -> None:
        self._delay = delay
        self._patience = 0.0
        self._share = 0.0
        self._requests = 1.0

    def saw(self, requests: int, fixed: float) -> None:
        """After a run.

        Args:
            requests: in it, waiting, and in runs beside it.
            fixed: seconds that a run costs whatever it holds.
        """
        self._share += _NEWEST_SHARE * ((requests > 1) - self._share)
        self._requests += _NEWEST_SHARE * (requests - self._requests)
        self._patience = fixed + _HAND_OVER_SECONDS

    @property
    def rare(self) -> bool:
        """Whether a request that is alone now will likely stay alone."""
        return self._share < _OFTEN

    def delay(self, requests: int, cost: float) -> float:
        """Seconds that the first of `requests`, which add `cost` seconds to a run, may wait for more."""
        if self._delay is not None:
            return self._delay
        gathered = requests >= round(self._requests)
        return 0.0 if gathered or cost > self._patience else self._patience
