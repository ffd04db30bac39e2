"""A comparison of our server with a peer that needs no environment: what it finds, not how fast."""

import json
import math
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("hpack", reason="needs the extra bench")
pytest.importorskip("onnx", reason="needs the extra train")

import onnx

from benchmarks.callers.job import Job, Result, run_apart
from benchmarks.compare import history
from benchmarks.compare.lines import closed_lines
from benchmarks.compare.measure import measure
from benchmarks.compare.plan import Plan
from benchmarks.compare.tables import tables
from benchmarks.compare.workloads import WORKLOADS
from benchmarks.material.mean_graph import mean_graph
from benchmarks.peers.catalogue import BY_NAME, OURS, Peer
from benchmarks.peers.launch import Launch
from benchmarks.peers.process import PeerProcess, running
from benchmarks.report.results import write
from benchmarks.yardstick.bare import BareSession
from benchmarks.yardstick.sample import TOLERANCES
from exporter.nodes import Nodes
from server.engine.manifest import METADATA_KEY
from server.engine.repository import graph_file
from tests.graphs import row_graph

SMALL = Plan(("small",), (OURS, "grpc.aio"), (4,), (0.5,), rounds=2, seconds=0.5, warm_up=0.1)


@pytest.fixture(autouse=True)
def _small_workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = replace(WORKLOADS["tiny"], name="small", model=lambda: mean_graph(8, tmp_path))
    monkeypatch.setitem(WORKLOADS, "small", workload)


def test_every_server_is_measured_under_every_load_and_answers_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Launch] = []

    def noted(peer: Peer, launch: Launch, message: bytes) -> AbstractContextManager[PeerProcess]:
        launched.append(launch)
        return running(peer, launch, message)

    monkeypatch.setattr("benchmarks.compare.measure.running", noted)
    steps: list[str] = []
    compared = measure(SMALL, steps.append)["small"]
    assert compared.wrong == 0
    assert compared.missing == {}
    assert [launch.cached for launch in launched] == [False, False]
    assert compared.deadline == max(0.02, SMALL.deadline * compared.service_time(4)) > 0
    assert set(compared.startup) == {OURS, "grpc.aio"}
    for server in (OURS, "grpc.aio"):
        assert set(compared.closed[server]) == {"4 clients"}
        for turns in compared.closed[server].values():
            assert len(turns) == 2
            assert [turn.rate for turn in turns] == [len(turn.latencies) / SMALL.seconds for turn in turns]
            # Of both together, as a busy machine may leave one of such short turns without an answer.
            assert sum(turn.rate for turn in turns) > 0
            assert sum(turn.cpu for turn in turns) > 0
            assert all(turn.memory > 0 for turn in turns)
            assert [turn.failures for turn in turns] == [{}, {}]
        assert len(compared.open[server]["50 %"]) == 2
    assert "small: round 2 of 2: grpc.aio, 4 clients" in steps
    assert [bool(table.rows) for table in tables(compared)] == [True] * 4
    run = history.record(SMALL, {"small": compared})
    assert json.loads(write(tmp_path, history.COMMAND, run).read_text()) == run


def test_a_peer_that_does_not_start_is_named_and_the_rest_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BY_NAME, "absent", Peer("absent", "bytes", "grpc_aio", environment="never made"))
    monkeypatch.setitem(BY_NAME, "broken", Peer("broken", "bytes", "no_such_program"))
    plan = replace(SMALL, peers=("absent", "broken", "grpc.aio"), clients=(1,), loads=(), rounds=1)
    compared = measure(plan, lambda _: None)["small"]
    assert "peers-install never made" in compared.missing["absent"]
    assert "No module named benchmarks.peers.no_such_program" in compared.missing["broken"]
    assert list(compared.closed) == ["grpc.aio"]


def test_what_a_server_had_used_that_died_in_its_last_turn_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rounds: list[Result] = []

    def killing(job: Job, folder: Path) -> Result:
        rounds.append(run_apart(job, folder))
        if len(rounds) == 2:
            (peer,) = (
                one for one in psutil.Process().children() if "benchmarks.peers.grpc_aio" in one.cmdline()
            )
            peer.kill()
            while peer.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
        return rounds[-1]

    monkeypatch.setattr("benchmarks.compare.measure.run_apart", killing)
    plan = replace(SMALL, peers=("grpc.aio",), clients=(1,), loads=())
    compared = measure(plan, lambda _: None)["small"]
    assert compared.missing == {"grpc.aio": "died under load: signal 9"}
    first, last = compared.closed["grpc.aio"]["1 client"]
    assert math.isnan(last.cpu)
    assert math.isnan(last.memory)
    line = closed_lines(compared)[-1]
    assert (line.cpu, line.memory) == (first.cpu, first.memory / 2**20)


def test_wrong_answers_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOLERANCES, "fp32", -1.0)
    plan = replace(SMALL, peers=("grpc.aio",), clients=(1,), loads=(), rounds=1)
    compared = measure(plan, lambda _: None)["small"]
    (turn,) = compared.closed["grpc.aio"]["1 client"]
    assert compared.wrong == turn.answered > len(turn.latencies) > 0


def test_peers_can_be_given_the_raw_graph_and_are_held_against_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mean_graph(8, tmp_path)
    nodes = Nodes("")
    pixels = nodes.add("Cast", "rows", to=onnx.TensorProto.FLOAT)
    nodes.add("Log", nodes.add("ReduceMean", pixels, axes=[1, 2, 3], keepdims=0), output="logit")
    graph = row_graph(nodes, onnx.TensorProto.UINT8, [8, 8, 3], {"logit": ["N"]})
    onnx.save(graph, model.parents[2] / "raw.onnx")
    raw = replace(WORKLOADS["product"], model=lambda: model, size=8)
    monkeypatch.setitem(WORKLOADS, "small", raw)
    plan = replace(SMALL, clients=(1,), loads=(), rounds=1)
    assert measure(plan, lambda _: None)["small"].wrong == 0
    monkeypatch.setattr("benchmarks.peers.scorer.Scorer.probabilities", lambda *_: np.ones(1, np.float32))
    compared = measure(plan, lambda _: None)["small"]
    (turn,) = compared.closed["grpc.aio"]["1 client"]
    assert compared.wrong == turn.answered > len(turn.latencies) > 0


def test_a_model_of_ones_own_takes_the_place_of_a_workloads(tmp_path: Path) -> None:
    model = mean_graph(16, tmp_path)
    plan = replace(SMALL, workloads=("tensors",), peers=("grpc.aio",), clients=(1,), loads=(), rounds=1)
    compared = measure(replace(plan, model=model), lambda _: None)["tensors"]
    assert compared.wrong == 0
    assert str(model) in compared.about
    with pytest.raises(RuntimeError, match="tiny cannot be measured with"):
        measure(replace(plan, workloads=("tiny",), model=model), lambda _: None)


def test_a_precision_of_ones_own_model_runs_behind_every_server(tmp_path: Path) -> None:
    model = mean_graph(16, tmp_path)
    graph = onnx.load(model)
    (metadata,) = (entry for entry in graph.metadata_props if entry.key == METADATA_KEY)
    metadata.value = json.dumps(json.loads(metadata.value) | {"precision": "int8"})
    onnx.save(graph, graph_file(model, "int8"))
    # Not what any server is to run, so that its answers would be wrong.
    nodes = [node for node in graph.graph.node if node.op_type == "Sigmoid"]
    assert nodes
    for node in nodes:
        node.op_type = "Tanh"
    onnx.save(graph, model)
    plan = replace(SMALL, workloads=("tensors",), clients=(1,), loads=(), rounds=1)
    compared = measure(replace(plan, model=model, precision="int8"), lambda _: None)["tensors"]
    assert set(compared.closed) == {OURS, "grpc.aio"}
    assert compared.wrong == 0


def test_a_model_that_answers_all_alike_checks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BareSession, "probabilities", lambda self: [0.5] * 32)
    with pytest.raises(RuntimeError, match=r"alike.*: delete it"):
        measure(SMALL, lambda _: None)
    with pytest.raises(RuntimeError, match=r"alike, so nothing could be checked$"):
        measure(replace(SMALL, workloads=("tensors",), model=mean_graph(16, tmp_path)), lambda _: None)


def test_a_budget_is_shared_among_the_measurements() -> None:
    plan = Plan(peers=(OURS, "grpc.aio"), rounds=1)
    assert plan.within(minutes=60).seconds > plan.within(minutes=6).seconds > plan.within(minutes=5).seconds
    assert plan.within(minutes=0).seconds > 0
