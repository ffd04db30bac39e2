"""The whole way with other precisions: calibrated on labelled media, measured on others, served."""

import shutil
from functools import partial
from pathlib import Path

import onnx
import onnxruntime
import pytest

from exporter import precisions
from exporter.export import Exported
from server.engine.manifest import Change, Precision
from server.engine.precision import open_session
from server.engine.processor import features
from server.engine.repository import graph_file
from server.engine.selftest import self_test
from server.engine.session import Session, manifest_of
from server.errors import InvalidModel
from tests.exporter.cases import run_export
from tests.exporter.labelled import write_labelled
from tests.random_rows import assert_as_alone, random_rows
from tests.training_records import AddModel, add_record
from training.sample import Split

MODALITIES = ("image", "audio")
OTHERS: tuple[Precision, ...] = ("fp16", "int8")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos and two sounds to calibrate on, four of each and a broken photo to measure."""
    splits: tuple[Split, ...] = ("val", "val", "test", "test", "test", "test")
    photos, sounds = ([(suffix, split) for split in splits] for suffix in ("jpg", "wav"))
    folder = write_labelled(tmp_path_factory.mktemp("data"), *photos, *sounds, ("jpg", "test"))
    (folder / "12.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def exported(keras_files: dict[str, Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("trained")
    for modality in MODALITIES:
        shutil.copy(keras_files[modality], folder)
        add_record(folder, modality)
    return run_export(folder, precisions=OTHERS, data_folder=data)


def test_each_file_is_a_whole_detector(exported: Exported) -> None:
    for manifest in (exported.manifest, *exported.others):
        file = graph_file(exported.path, manifest.precision)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        assert manifest_of(session, file) == manifest
    assert [manifest.precision for manifest in exported.others] == list(OTHERS)
    assert exported.manifest.precision == "fp32"
    assert exported.manifest.trade is None


def test_their_weights_are_what_their_names_say(exported: Exported) -> None:
    kinds = {"fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}
    for precision in OTHERS:
        graph = onnx.load(graph_file(exported.path, precision)).graph
        for modality in MODALITIES:
            narrow = [
                tensor.name
                for tensor in graph.initializer
                if tensor.data_type == kinds[precision] and tensor.name.startswith(f"{modality}/")
            ]
            assert narrow, (precision, modality)
        assert not [
            t.name
            for t in graph.initializer
            if t.name.startswith("fusion/") and t.data_type in kinds.values()
        ]


def test_the_manifest_says_what_they_cost(exported: Exported) -> None:
    for manifest in exported.others:
        trade = manifest.trade
        assert trade is not None
        assert trade.cpu == features()
        assert set(trade.change) == set(trade.speed_up) == set(MODALITIES)
        for change in trade.change.values():
            # The broken photo tells nothing.
            assert change.files == 4
            assert 0 < change.mean <= change.largest < 0.1
            assert change.auc is not None
            assert change.auc_before is not None
        assert set(manifest.parity) == set(MODALITIES)


def test_the_card_says_so_too(exported: Exported, data: Path) -> None:
    card = (exported.path.parent / "MODEL_CARD.md").read_text()
    assert "## Other precisions" in card
    assert f"test files of {data}" in card
    for manifest in exported.others:
        assert f"### {manifest.precision}" in card
        assert manifest.trade is not None
        for modality, change in manifest.trade.change.items():
            assert f"| {manifest.precision} | {modality} | 4 | {change.mean:.1e} |" in card


@pytest.mark.parametrize("precision", ["fp32", *OTHERS])
def test_each_can_be_served(exported: Exported, precision: Precision) -> None:
    session = open_session(exported.path, precision, "cpu", partial(Session, wish="cpu"))
    assert session.manifest.precision == precision
    # Each modality alone, all together, and nothing at all.
    self_test(session)
    requests = [random_rows(session.manifest, 1, images=2), random_rows(session.manifest, 2, windows=1)]
    tolerance = 1e-5 if precision == "fp32" else 1e-3
    assert_as_alone(session.run(requests), requests, session, tolerance)


def test_what_is_gained_is_how_many_times_as_fast_it_is(
    add_model: AddModel, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model("audio")
    # A single file may change by more than all do on average.
    change = {"audio": Change(files=9, mean=0.01, largest=0.5, auc=0.81, auc_before=0.8)}
    monkeypatch.setattr(precisions, "measure_change", lambda *_: {"fp16": change})
    monkeypatch.setattr(
        precisions, "measure_speed", lambda *_: {"fp32": {"audio": 3.0}, "fp16": {"audio": 1.5}}
    )
    exported = run_export(tmp_path, max_change=0.01, precisions=("fp16",), data_folder=data)
    (half,) = exported.others
    assert half.trade is not None
    assert half.trade.speed_up == {"audio": 2.0}
    assert half.trade.pays_on_cpu
    card = (exported.path.parent / "MODEL_CARD.md").read_text()
    assert "| fp16 | audio | 9 | 1.0e-02 | 5.0e-01 | 0.8000 | 0.8100 | 2.00 |" in card
    assert "On the CPU it pays" in card


def test_one_that_changes_the_answers_more_than_allowed_is_not_written(
    add_model: AddModel, data: Path, tmp_path: Path
) -> None:
    add_model("audio")
    with pytest.raises(InvalidModel, match="changes the probabilities of the audio model by"):
        run_export(tmp_path, max_change=0, precisions=("fp16",), data_folder=data)
    assert not list((tmp_path / "out").rglob("*.onnx"))


def test_nothing_is_read_where_nothing_is_asked_for(add_model: AddModel, tmp_path: Path) -> None:
    add_model("audio")
    exported = run_export(tmp_path, max_change=0, precisions=("fp32",), data_folder=tmp_path / "missing")
    assert exported.others == ()
    assert sorted(path.name for path in exported.path.parent.iterdir()) == ["MODEL_CARD.md", "model.onnx"]
