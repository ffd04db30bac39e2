"""What a comparison measured."""

from dataclasses import dataclass, field

from benchmarks.peers.catalogue import ECHO
from benchmarks.report.figures import best, figure, percentile
from benchmarks.yardstick.sample import Sample, rates

Load = str
"""What a server was given: "8 clients", or "95 %" of its capacity at random."""


def amount(load: Load) -> int:
    """Its number: of clients, or percent of the capacity."""
    return int(load.split()[0])


@dataclass(frozen=True, slots=True)
class Turn:
    """One server under one load in one round.

    Attributes:
        rate: answers a second.
        good: answers a second within the deadline.
        latencies: seconds, of each answer.
        failures, answered: requests without an answer, by status, and with one, warm-up included.
        cpu, caller_cpu: processor seconds for 1 000 answers, of the server and of the callers.
        memory: bytes, of all processes of the server. This and `cpu` are NaN if it died.
        wrong: answers that differ from the bare session's.
    """

    rate: float
    good: float
    latencies: list[float]
    failures: dict[str, int]
    answered: int
    cpu: float
    caller_cpu: float
    memory: float
    wrong: int


@dataclass(slots=True)
class Compared:
    """One workload: lists have an entry for each round.

    Attributes:
        about: the workload.
        cached: whether answers may come from our server's cache.
        deadline: seconds.
        bare, decode: by layout of the bare session; of the decoders, empty without photos.
        closed, open: by server and load.
        startup: seconds until the first answer, by server.
        missing: why a server was not measured, or no longer, by server.
    """

    about: str
    cached: bool = False
    deadline: float = 0.0
    bare: dict[str, list[Sample]] = field(default_factory=dict)
    decode: list[Sample] = field(default_factory=list)
    closed: dict[str, dict[Load, list[Turn]]] = field(default_factory=dict)
    open: dict[str, dict[Load, list[Turn]]] = field(default_factory=dict)
    startup: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def best_bare(self) -> str:
        """The layout with the highest median rate."""
        return best({layout: rates(samples) for layout, samples in self.bare.items()})

    @property
    def wrong(self) -> int:
        """Answers that differ from the bare session's, of all servers."""
        loads = [*self.closed.values(), *self.open.values()]
        return sum(turn.wrong for by_load in loads for turns in by_load.values() for turn in turns)

    def ceiling(self, load: Load) -> list[float]:
        """What no server can exceed under that load, in answers a second of each round.

        The cores that decode cannot run the graph meanwhile, and nobody answers faster than an echo, which
        is all that bounds a cache. An echo that died bounds nothing.
        """
        tops = rates(self.bare[self.best_bare])
        echoes = [echo.rate for echo in self.closed.get(ECHO, {}).get(load, [])]
        if len(echoes) < len(tops):
            echoes = []
        if self.cached and echoes:
            return echoes
        if self.decode:
            tops = [1 / (1 / top + 1 / sample.rate) for top, sample in zip(tops, self.decode, strict=True)]
        return [min(pair) for pair in zip(tops, echoes, strict=True)] if echoes else tops

    def service_time(self, clients: int) -> float:
        """Seconds: the median of the server that answers so many clients fastest; 0 if none answered any."""
        answered = [
            [latency for turn in turns for latency in turn.latencies]
            for server, loads in self.closed.items()
            for load, turns in loads.items()
            if server != ECHO and amount(load) == clients
        ]
        return min((percentile(latencies, 50) for latencies in answered if latencies), default=0.0)

    def capacity(self, server: str) -> float:
        """Answers a second at the number of clients that gives most."""
        return max(figure([turn.rate for turn in turns]).median for turns in self.closed[server].values())
