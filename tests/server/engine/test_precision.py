from functools import partial
from pathlib import Path

import pytest
from google.protobuf import json_format

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from server.engine import precision
from server.engine.manifest import Change, Precision, Trade
from server.engine.precision import open_session
from server.engine.processor import features
from server.engine.providers import Provider
from server.engine.session import Session
from server.errors import InvalidModel, ModelNotFound
from tests.running_server import running_server, stub_of
from tests.tiny_graph import put_precision, tiny_detector
from tests.waiting import until

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
ON_CPU = partial(Session, wish="cpu")


def trade(pays: bool = True, cpu: tuple[str, ...] | None = None) -> Trade:
    return Trade(
        measured_on="nothing",
        calibrated_on="nothing",
        float_layers={},
        change={"image": Change(files=10, mean=0, largest=0, auc=0.9, auc_before=0.9)},
        speed_up={"image": 2.0},
        cpu=features() if cpu is None else cpu,
        pays_on_cpu=pays,
    )


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return tiny_detector(tmp_path / "models")


def chosen(graph: Path, wish: precision.PrecisionWish = "auto") -> Precision:
    return open_session(graph, wish, "cpu", ON_CPU).manifest.precision


def test_alone_it_is_fp32(graph: Path) -> None:
    assert chosen(graph) == "fp32"


def test_the_cpu_takes_int8_that_pays_and_never_fp16(graph: Path) -> None:
    put_precision(graph, "fp16", trade())
    assert chosen(graph) == "fp32"
    put_precision(graph, "int8", trade())
    assert chosen(graph) == "int8"


@pytest.mark.parametrize(
    "told", [trade(pays=False), trade(cpu=(*features(), "faster_than_ours")), trade(cpu=("other",)), None]
)
def test_int8_of_unknown_worth_is_left_alone(graph: Path, told: Trade | None) -> None:
    put_precision(graph, "int8", told)
    assert chosen(graph) == "fp32"


@pytest.mark.parametrize("wish", ["fp32", "fp16", "int8"])
def test_what_is_asked_for_is_taken(graph: Path, wish: Precision) -> None:
    put_precision(graph, "fp16")
    put_precision(graph, "int8", trade(pays=False))
    assert chosen(graph, wish) == wish


@pytest.mark.parametrize("wish", ["fp16", "int8"])
def test_what_is_asked_for_and_missing_is_named(graph: Path, wish: Precision) -> None:
    with pytest.raises(ModelNotFound, match=rf"--precision {wish}.*model\.{wish}\.onnx") as caught:
        open_session(graph, wish, "cpu", ON_CPU)
    assert caught.value.code == "MODEL_NOT_FOUND"
    assert f"python -m exporter models/ --precisions fp32,{wish}" in caught.value.hint


def test_a_broken_file_is_named(graph: Path) -> None:
    put_precision(graph, "int8", trade()).write_bytes(b"no graph")
    with pytest.raises(InvalidModel, match=r"model\.int8\.onnx"):
        open_session(graph, "auto", "cpu", ON_CPU)


@pytest.mark.parametrize(
    ("files", "works", "expected"),
    [
        (["fp16", "int8"], CUDA, "fp16"),
        (["int8"], CUDA, "fp32"),
        (["fp16", "int8"], CPU, "int8"),
        (["fp16"], CPU, "fp32"),
    ],
)
def test_an_accelerator_takes_fp16_if_it_works(
    graph: Path, monkeypatch: pytest.MonkeyPatch, files: list[Precision], works: str, expected: Precision
) -> None:
    providers = {name: Provider(name, "for the test", 1) for name in (CUDA, CPU)}

    def load(file: Path) -> Session:
        """There is no accelerator here, but the choice need not know."""
        session = Session(file, "cpu")
        session.provider = providers[works]
        return session

    for name in files:
        put_precision(graph, name, trade())
    monkeypatch.setattr(precision, "candidates", lambda wish: list(providers.values()))
    assert open_session(graph, "auto", "auto", load).manifest.precision == expected


def test_a_server_tells_what_it_runs_and_follows_the_file(graph: Path) -> None:
    put_precision(graph, "int8", trade())
    models = graph.parents[2]
    with running_server(models, model_poll_seconds=0.02) as server, stub_of(server) as stub:
        assert _served(stub) == "int8"
        graph.with_name("model.int8.onnx").unlink()
        until(lambda: _served(stub) == "fp32")
        put_precision(graph, "int8", trade())
        until(lambda: _served(stub) == "int8")
    with pytest.raises(ModelNotFound, match="fp16"), running_server(models, precision="fp16"):
        pass


def _served(stub: DetectorStub) -> str:
    model = stub.GetModel(pb.GetModelRequest(), timeout=30)
    return str(json_format.MessageToDict(model.manifest)["precision"])
