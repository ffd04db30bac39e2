"""What came of a soak: is every answer right, and does memory stay flat?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.abuse.outcome import LATE, Outcome
from benchmarks.abuse.soak_corpus import Corpus
from benchmarks.abuse.soak_plan import SoakPlan
from benchmarks.report.figures import growth, percentile
from benchmarks.report.tables import Table

_TOLERANCE = 1e-5


@dataclass(slots=True)
class Soaked:
    """What came of it.

    Attributes:
        capacity: answers a second in the closed loop, with callers on the same machine; 0 if not measured.
        outcomes: how many by code.
        wrong: the first requests whose outcome is neither that of their medium alone nor a refusal.
        mistakes: how many there are.
        latencies: seconds of those that were answered, verdict or not.
        versions: how many answers by version of the model.
        killed: processes of callers.
        memory: bytes of the server and its decoders, once a second.
    """

    plan: SoakPlan
    capacity: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    mistakes: int = 0
    latencies: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    killed: int = 0
    memory: list[int] = field(default_factory=list)

    @property
    def late_share(self) -> float:
        """Of accepted requests, those that missed their deadline."""
        late = self.outcomes[LATE]
        return late / max(1, late + len(self.latencies))

    @property
    def memory_growth(self) -> float:
        """After the warm-up."""
        return growth(self.memory[round(self.plan.warm_up) :] or self.memory)

    @property
    def problems(self) -> list[str]:
        """What must not be; empty if all is well."""
        found = list(self.wrong)
        if self.mistakes > len(self.wrong):
            found.append(f"{self.mistakes - len(self.wrong)} more wrong outcomes")
        if not self.latencies:
            found.append("nothing was answered")
        if self.late_share > 0.01:
            found.append(f"{self.late_share:.1%} of the accepted requests missed their deadline")
        if self.plan.seconds >= 60 and abs(self.memory_growth) > 0.10:
            found.append(f"memory changed by {self.memory_growth:+.1%}")
        if self.plan.abusive and len(self.versions) < 2:
            found.append(f"the model was not replaced: versions {sorted(self.versions)}")
        return found

    def judge(self, outcomes: Sequence[Outcome], corpus: Corpus) -> None:
        """Counts them, and sets each beside that of its medium alone."""
        for outcome in outcomes:
            self.outcomes[outcome.code] += 1
            if not outcome.answered:
                continue
            self.latencies.append(outcome.seconds)
            if outcome.version:
                self.versions[outcome.version] += 1
            code, probability = corpus.expected[outcome.medium]
            if outcome.code != code or not _same(outcome.probability, probability):
                self.mistakes += 1
                if len(self.wrong) < 10:
                    self.wrong.append(f"medium {outcome.medium}: {outcome}, alone {code} {probability}")


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _TOLERANCE


def table(soaked: Soaked) -> Table:
    rows = [
        ("requests", str(soaked.outcomes.total())),
        *((f"  {code}", str(number)) for code, number in soaked.outcomes.most_common()),
        ("wrong outcomes", str(soaked.mistakes)),
        ("p50 / p99 of answers", _seconds(soaked.latencies)),
        ("accepted and late", f"{soaked.late_share:.2%}"),
        ("memory, median", f"{median(soaked.memory) / 2**20:.0f} MiB"),
        ("memory, end against start", f"{soaked.memory_growth:+.1%}"),
        ("answers by model version", ", ".join(f"{k}: {v}" for k, v in sorted(soaked.versions.items()))),
    ]
    if soaked.capacity:
        rows[:0] = [("capacity, closed loop", f"{soaked.capacity:.1f} answers/s")]
        rows.append(("callers' processes killed", str(soaked.killed)))
    return Table(("", f"{soaked.plan.seconds:g} s of load"), rows)


def _seconds(latencies: Sequence[float]) -> str:
    if not latencies:
        return "none"
    return f"{percentile(latencies, 50):.2f} / {percentile(latencies, 99):.2f} s"
