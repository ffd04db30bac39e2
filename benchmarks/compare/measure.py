"""Our server beside the ceilings and every peer that is installed, on the same work, in one run.

By turns and several times over, because machines drift: in each round every ceiling and every server is
measured once under each load, and ratios are made round by round. Only what is being measured runs; the other
servers are held meanwhile. Every answer is compared with the bare session's.
"""

import math
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

import numpy as np

from benchmarks.callers.job import Job, Result, run_apart
from benchmarks.compare.compared import Compared, Turn
from benchmarks.compare.plan import Plan
from benchmarks.compare.workloads import WORKLOADS, Workload
from benchmarks.material.keras_model import raw_graph
from benchmarks.peers.catalogue import BY_NAME, ECHO, Peer
from benchmarks.peers.codecs import write_messages
from benchmarks.peers.launch import Launch
from benchmarks.peers.process import NotStarted, PeerProcess, running
from benchmarks.peers.scorer import Scorer
from benchmarks.processes import free_port
from benchmarks.report.turns import Report, about, by_turns
from benchmarks.yardstick import decoders
from benchmarks.yardstick.bare import BareSession, bare_sessions
from benchmarks.yardstick.sample import TOLERANCE, TOLERANCES, wrong_answers
from benchmarks.yardstick.session import CPU
from server.engine.cores import usable_cores
from server.engine.repository import graph_file

_TELLING_SPREAD = 100 * TOLERANCE
# Callers and system tell time in milliseconds; with less to spare they would be what is measured.
_SHORTEST_DEADLINE = 0.02


def measure(plan: Plan, report: Report) -> dict[str, Compared]:
    """Runs the whole plan, workload by workload; `report` is told what is being measured.

    Raises:
        RuntimeError: a model has to be made and cannot, or the callers fail.
    """
    chosen = {name: WORKLOADS[name] for name in plan.workloads}
    if plan.model:
        chosen = {name: workload.of(plan.model, plan.precision) for name, workload in chosen.items()}
    return {name: _Comparison(plan, workload, report).run() for name, workload in chosen.items()}


class _Comparison:
    """One workload."""

    def __init__(self, plan: Plan, workload: Workload, report: Report) -> None:
        self._plan, self._workload = plan, workload
        self._report = about(workload.name, report)
        self._report("making model and requests")
        model = workload.model().resolve()
        self._graph = graph_file(model, workload.precision)
        self._raw = raw_graph(model) if workload.against_raw else None
        self._payloads = workload.payloads()
        self._frames = np.stack([workload.frame(payload) for payload in self._payloads])
        self._compared = Compared(workload.about, workload.cached)
        self._written: dict[str, list[str]] = {}

    def run(self) -> Compared:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            bare = bare_sessions(self._graph, CPU, self._frames)
            self._expected = next(iter(bare.values())).probabilities()
            self._peers_expected = self._answers_of_raw() or self._expected
            if np.ptp(self._expected) < _TELLING_SPREAD:
                hint = "" if self._plan.model else ": delete it, and it is made anew"
                raise RuntimeError(
                    f"{self._graph} answers all requests alike, so nothing could be checked{hint}"
                )
            decode = stack.enter_context(self._decoding())
            servers = [server for name in self._plan.peers for server in self._started(BY_NAME[name], stack)]
            for _, tell in by_turns(self._plan.rounds, self._report):
                self._ceilings(bare, decode, tell)
                self._closed_loops(servers, tell)
            service_time = self._compared.service_time(min(self._plan.clients))
            self._compared.deadline = max(_SHORTEST_DEADLINE, self._plan.deadline * service_time)
            for number, tell in by_turns(self._plan.rounds, self._report):
                self._open_loops(servers, number, tell)
        return self._compared

    def _decoding(self) -> AbstractContextManager[decoders.Decode | None]:
        size = self._workload.size
        return decoders.decoding((size, size)) if self._workload.encoded else nullcontext(None)

    def _started(self, peer: Peer, stack: ExitStack) -> Iterator[PeerProcess]:
        """The peer, held; nothing if it does not start, which is noted."""
        self._report(f"starting {peer.name}")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        launch = self._launch(peer, folder)
        message = Path(self._messages_in(peer.codec)[0]).read_bytes()
        try:
            server = stack.enter_context(running(peer, launch, message))
        except NotStarted as error:
            self._compared.missing[peer.name] = str(error)
            return
        server.hold()
        self._compared.startup[peer.name] = server.startup
        yield server

    def _launch(self, peer: Peer, folder: Path) -> Launch:
        workload = self._workload
        raw = None if peer.ours else self._raw
        return Launch(
            model=str(raw or self._graph),
            folder=str(folder),
            environment=str(peer.folder()),
            port=free_port(),
            encoded=workload.encoded,
            height=workload.size,
            width=workload.size,
            workers=usable_cores(),
            batch=workload.batch,
            cached=workload.cached,
            raw=raw is not None,
            precision=workload.precision,
        )

    def _answers_of_raw(self) -> list[float]:
        """What peers with a graph of their own must answer; nothing if they have ours."""
        if self._raw is None:
            return []
        scorer = Scorer(self._launch(BY_NAME[ECHO], self._folder))
        return [float(scorer.probabilities([payload])[0]) for payload in self._payloads]

    def _messages_in(self, codec: str) -> list[str]:
        """Files with the requests as that codec has them."""
        if codec not in self._written:
            pixels = self._workload.pixels
            self._written[codec] = write_messages(codec, self._payloads, pixels, self._folder)
        return self._written[codec]

    def _ceilings(self, bare: dict[str, BareSession], decode: decoders.Decode | None, tell: Report) -> None:
        seconds, warm_up = self._plan.seconds, self._plan.warm_up
        for layout, session in bare.items():
            tell(f"bare session, {layout}")
            self._compared.bare.setdefault(layout, []).append(session.sample(seconds, warm_up))
        if decode is not None:
            tell("bare decoders")
            self._compared.decode.append(decoders.sample(decode, seconds, warm_up))

    def _closed_loops(self, servers: list[PeerProcess], tell: Report) -> None:
        for clients in self._plan.clients:
            for server in self._alive(servers):
                load = f"{clients} client{'s' * (clients > 1)}"
                tell(f"{server.peer.name}, {load}")
                turn = self._measured(server, clients=clients)
                self._compared.closed.setdefault(server.peer.name, {}).setdefault(load, []).append(turn)

    def _open_loops(self, servers: list[PeerProcess], number: int, tell: Report) -> None:
        for share in self._plan.loads:
            for server in self._alive(servers):
                name, load = server.peer.name, f"{share:.0%}".replace("%", " %")
                rate = share * self._compared.capacity(name)
                if name == ECHO or rate == 0:
                    continue
                tell(f"{name}, {load} of {rate / share:.0f} answers/s")
                turn = self._measured(server, rate=rate, seed=number)
                self._compared.open.setdefault(name, {}).setdefault(load, []).append(turn)

    def _alive(self, servers: list[PeerProcess]) -> Iterator[PeerProcess]:
        for server in servers:
            if death := server.death:  # since its last turn
                self._compared.missing[server.peer.name] = death
            else:
                yield server

    def _measured(self, server: PeerProcess, clients: int = 0, rate: float = 0.0, seed: int = 0) -> Turn:
        codec = server.peer.codec
        job = Job(
            port=server.port,
            codec=codec,
            messages=self._messages_in(codec),
            clients=clients,
            warm_up=self._plan.warm_up,
            seconds=self._plan.seconds,
            deadline=self._compared.deadline,
            rate=rate,
            seed=seed,
        )
        with server.awake():
            before = server.cpu_seconds()
            result = run_apart(job, self._folder)
            used = server.cpu_seconds() - before
            memory: float = server.memory_bytes()
        if death := server.death:  # and with it what it had used
            self._compared.missing[server.peer.name] = death
            used = memory = math.nan
        return self._as_turn(result, job, used, memory, self._expected_of(server.peer))

    def _expected_of(self, peer: Peer) -> list[float]:
        """Nothing of one whose answers say nothing."""
        if peer.name == ECHO:
            return []
        return self._expected if peer.ours else self._peers_expected

    def _as_turn(self, result: Result, job: Job, used: float, memory: float, expected: list[float]) -> Turn:
        answers = len(result.latencies)
        tolerance = TOLERANCES[self._workload.precision]
        # Processor time is also of what ended before the clock or after it, so all answers share it.
        thousands = max(1, len(result.answers)) / 1000
        return Turn(
            rate=answers / result.seconds,
            good=sum(latency <= job.deadline for latency in result.latencies) / result.seconds,
            latencies=result.latencies,
            failures=result.failures,
            answered=len(result.answers),
            cpu=used / thousands,
            caller_cpu=result.cpu_seconds / thousands,
            memory=memory,
            wrong=wrong_answers(result.answers, expected, tolerance) if expected else 0,
        )
