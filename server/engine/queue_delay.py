"""How long a batch waits for more requests before it is run."""

_NEWEST_SHARE = 0.1
# If at least this share of the latest runs met other requests, the next one will, too, before it ends.
_OFTEN = 0.8
# About what threads that share a lock need to hand over a batch and its answers, whatever it holds.
_HAND_OVER_SECONDS = 0.002


class QueueDelay:
    """Learns from the runs of an engine; used from its threads.

    A run that costs much the same with more requests is worth delaying for about as long as it takes: the
    request that waits loses at most as much again, and each one that joins saves a run (after the online
    algorithm for acknowledging packets of Dooly, Goldman and Scott, 1998).

    Args:
        given: seconds to wait in any case; None for what was learnt.
    """

    def __init__(self, given: float | None = None) -> None:
        self._given = given
        self._patience = 0.0
        self._shared = 0.0
        self._requests = 1.0

    def learn(self, requests: int, fixed_cost: float) -> None:
        """After a run.

        Args:
            requests: in it, waiting, and in runs beside it.
            fixed_cost: seconds that a run takes whatever it holds.
        """
        self._shared += _NEWEST_SHARE * ((requests > 1) - self._shared)
        self._requests += _NEWEST_SHARE * (requests - self._requests)
        self._patience = fixed_cost + _HAND_OVER_SECONDS

    @property
    def usually_alone(self) -> bool:
        """Whether a request that is alone now will likely stay alone."""
        return self._shared < _OFTEN

    def seconds(self, requests: int, cost: float) -> float:
        """How long the first of `requests`, which add `cost` seconds to a run, may wait for more."""
        if self._given is not None:
            return self._given
        gathered = requests >= round(self._requests)
        return 0.0 if gathered or cost > self._patience else self._patience
