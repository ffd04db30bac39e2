"""What a comparison measured, and the figures that follow from it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.ceiling.measure import Sample
from benchmarks.peers.catalogue import ECHO
from benchmarks.report.figures import Figure, figure, percentile

Load = str
"""What a server was given: "8 clients", or "95 %" of its capacity at random."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One server under one load in one round.

    Attributes:
        rate: answers a second.
        offered: requests a second that were sent, or in the open loop arrived.
        good: answers a second within the deadline.
        latencies: seconds, of each answer.
        failures: requests without an answer, by status, warm-up included.
        cpu, caller_cpu: processor seconds for 1 000 requests, of the server and of the callers.
        memory: bytes, of all processes of the server.
        wrong: answers that differ from the bare session's.
    """

    rate: float
    offered: float
    good: float
    latencies: list[float]
    failures: dict[str, int]
    cpu: float
    caller_cpu: float
    memory: int
    wrong: int


@dataclass(slots=True)
class Compared:
    """One workload: lists have an entry for each round.

    Attributes:
        about: the workload.
        deadline: seconds.
        bare, decode: by layout of the bare session; of the decoders, empty without photos.
        closed, open: by server and load.
        startup: seconds until the first answer, by server.
        missing: why a server was not measured, or no longer, by server.
    """

    about: str
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
        return max(self.bare, key=lambda layout: figure([s.rate for s in self.bare[layout]]).median)

    @property
    def wrong(self) -> int:
        """Answers that differ from the bare session's, of all servers."""
        loads = [*self.closed.values(), *self.open.values()]
        return sum(turn.wrong for by_load in loads for turns in by_load.values() for turn in turns)

    def ceiling(self, load: Load) -> list[float]:
        """What no server can exceed under that load, in answers a second of each round.

        The cores that decode cannot run the graph meanwhile, and nobody answers faster than an echo.
        """
        tops = [sample.rate for sample in self.bare[self.best_bare]]
        if self.decode:
            tops = [1 / (1 / top + 1 / sample.rate) for top, sample in zip(tops, self.decode, strict=True)]
        echoes = self.closed.get(ECHO, {}).get(load, [])
        return [min(top, echo.rate) for top, echo in zip(tops, echoes, strict=True)] if echoes else tops

    def capacity(self, server: str) -> float:
        """Answers a second at the number of clients that gives most."""
        return max(figure([turn.rate for turn in turns]).median for turns in self.closed[server].values())


@dataclass(frozen=True, slots=True)
class Line:
    """One server under one load; times in milliseconds, memory in MiB, processor seconds for 1 000 requests.

    Attributes:
        ratio: of the rate to the ceiling, round by round; in the open loop of the goodput to the capacity.
        failed: share of requests without an answer.
        failures: how many of them by status.
    """

    server: str
    load: Load
    rate: Figure
    p50: float
    p99: float
    p999: float
    good: Figure
    ratio: Figure | None
    cpu: float
    caller_cpu: float
    memory: float
    failed: float
    failures: dict[str, int] = field(default_factory=dict)


def closed_lines(compared: Compared) -> list[Line]:
    """The ceilings, then each server by number of clients."""
    best = compared.best_bare
    lines = [_bare_line(f"bare session, {best}", compared.bare[best])]
    if compared.decode:
        lines.append(_bare_line("bare decoders", compared.decode))
    for server, loads in compared.closed.items():
        for load, turns in loads.items():
            tops = compared.ceiling(load)
            ratio = figure([turn.rate / top for turn, top in zip(turns, tops, strict=False)])
            lines.append(_line(server, load, turns, ratio))
    return lines


def open_lines(compared: Compared) -> list[Line]:
    """Each server by offered load."""
    return [
        _line(server, load, turns, figure([turn.good / compared.capacity(server) for turn in turns]))
        for server, loads in compared.open.items()
        for load, turns in loads.items()
    ]


def ratios(ours: Mapping[Load, Sequence[Turn]], other: Mapping[Load, Sequence[Turn]]) -> dict[Load, Figure]:
    """Our rate over another server's, round by round, so that what slowed the machine slowed both."""
    return {
        load: figure([mine.rate / its.rate for mine, its in zip(ours[load], turns, strict=False) if its.rate])
        for load, turns in other.items()
        if ours.get(load) and any(turn.rate for turn in turns)
    }


def p99_ratio(ours: Sequence[Turn], other: Sequence[Turn]) -> float:
    """Of the 99th percentiles of all rounds; NaN without answers."""
    mine, its = (percentile(_pooled(turns), 99) for turns in (ours, other))
    return mine / its


def _bare_line(name: str, samples: Sequence[Sample]) -> Line:
    pooled = [latency for sample in samples for latency in sample.latencies]
    rate = figure([sample.rate for sample in samples])
    cpu = 1000 * figure([sample.cpu for sample in samples]).median
    p50, p99, p999 = (1000 * percentile(pooled, percent) for percent in (50, 99, 99.9))
    return Line(name, "", rate, p50, p99, p999, rate, None, cpu, 0.0, 0.0, 0.0)


def _line(server: str, load: Load, turns: Sequence[Turn], ratio: Figure) -> Line:
    pooled = _pooled(turns)
    p50, p99, p999 = (1000 * percentile(pooled, percent) for percent in (50, 99, 99.9))
    failures = sum((Counter(turn.failures) for turn in turns), Counter[str]())
    failed = failures.total()
    return Line(
        server=server,
        load=load,
        rate=figure([turn.rate for turn in turns]),
        p50=p50,
        p99=p99,
        p999=p999,
        good=figure([turn.good for turn in turns]),
        ratio=ratio,
        cpu=figure([turn.cpu for turn in turns]).median,
        caller_cpu=figure([turn.caller_cpu for turn in turns]).median,
        memory=figure([turn.memory for turn in turns]).median / 2**20,
        failed=failed / max(1, failed + len(pooled)),
        failures=dict(failures),
    )


def _pooled(turns: Sequence[Turn]) -> list[float]:
    return [latency for turn in turns for latency in turn.latencies]
