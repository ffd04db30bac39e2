"""The whole way: a folder of Keras models in, a detector in the model repository out."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from exporter import export as export_module
from exporter.export import Exported
from exporter.keras_to_onnx import load_model
from exporter.parity import feed
from server.engine.manifest import FusionWeights
from server.engine.session import manifest_of
from server.errors import InvalidModel, ModelNotFound
from server.media.spec import spec_hash
from tests.exporter import fusion_reference, keras_models
from tests.exporter.cases import run_export
from tests.training_records import BRANCHES, AddModel, add_record


@pytest.fixture(scope="module")
def exported(keras_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("trained")
    for modality, path in keras_files.items():
        shutil.copy(path, folder)
        add_record(folder, modality)
    return run_export(folder)


def test_the_manifest_in_the_file_says_it_all(exported: Exported) -> None:
    manifest = manifest_of(onnxruntime.InferenceSession(exported.path), exported.path)
    assert manifest == exported.manifest
    assert exported.path.parts[-3:] == ("detector", "1", "model.onnx")
    assert (manifest.height, manifest.width) == (32, 32)
    assert manifest.spec_hash == spec_hash()
    assert manifest.modalities == ("image", "video", "audio")
    assert manifest.image is not None
    assert (manifest.image.temperature, manifest.image.crops) == (1.5, 2)
    assert (manifest.image.heatmap_height, manifest.image.heatmap_width) == (8, 8)
    assert manifest.video is not None
    assert (manifest.video.clip_length, manifest.video.sharpness) == (keras_models.CLIP_LENGTH, 2.0)
    assert manifest.audio is not None
    assert manifest.audio.window_samples == keras_models.WINDOW_SAMPLES
    assert manifest.training["audio"]["metrics"] == {"test": {"auc": 0.9123}}
    assert all(value <= 1e-4 for rows in manifest.parity.values() for value in rows.values())


def test_the_graph_says_what_onnx_runtime_cannot_infer(exported: Exported) -> None:
    graph = onnx.load(exported.path).graph
    # Of gates that were spread, and of frames of clips.
    assert {value.name.split("/")[0] for value in graph.value_info} >= {"image", "video"}
    assert [node.name for node in graph.node if node.op_type == "Resize"]


def test_a_mixed_batch_scores_as_keras_and_numpy_say(
    exported: Exported, keras_files: dict[str, Path]
) -> None:
    random = np.random.default_rng(0)
    manifest = exported.manifest
    rows: dict[str, NDArray[np.generic]] = {
        "image": random.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8),
        "video": random.integers(0, 256, (2, keras_models.CLIP_LENGTH, 32, 32, 3), dtype=np.uint8),
        "audio": random.normal(0, 0.1, (3, keras_models.WINDOW_SAMPLES)).astype(np.float32),
    }
    requests = {"image": np.array([0, 2, 0]), "video": np.array([2, 2]), "audio": np.array([1, 2, 1])}
    weights = np.array([[0.4, 0.4, 0.2], [1, 1, 1], [0, 0.5, 0.5], [0.4, 0.4, 0.2]], np.float32)
    inputs = feed(manifest, rows) | {"weights": weights}
    for modality, name in (("image", "image"), ("video", "clip"), ("audio", "audio")):
        inputs[f"{name}_request"] = requests[modality]
    session = onnxruntime.InferenceSession(exported.path)
    names = ["fake_probability", "modality_probability", "modality_present"]
    got = fusion_reference.Fused(*session.run(names, inputs))
    logits = {
        modality: np.asarray(load_model(keras_files[modality], modality)(rows[modality])["logit"], np.float64)
        for modality in rows
    }
    expected = fusion_reference.fuse(
        {
            modality: fusion_reference.Rows(getattr(manifest, modality), logits[modality], requests[modality])
            for modality in rows
        },
        weights.astype(np.float64),
    )
    fusion_reference.assert_same(got, expected)


def test_the_card_says_what_was_measured(exported: Exported) -> None:
    card = (exported.path.parent / "MODEL_CARD.md").read_text()
    for said in (
        "Noise, for tests.",
        "0.9123",
        "no forensic instrument",
        "sharpness 2",
        "INCONCLUSIVE",
        spec_hash(),
        "files.train",
        "| image | 1.5 | 0.2 | mean |",
        "mono, 8000 Hz, up to 4 windows of 0.5 s",
        f"(fp32, {exported.path.stat().st_size / 1e6:.1f} MB)",
    ):
        assert said in card
    for differences in exported.manifest.parity.values():
        for difference in differences.values():
            assert f"{difference:.1e}" in card


def test_the_card_states_the_seed_once(add_model: AddModel, tmp_path: Path) -> None:
    add_model("audio", settings={"epochs": 6, "seed": 7})
    card = (run_export(tmp_path).path.parent / "MODEL_CARD.md").read_text()
    assert card.count("| seed | 7 |") == 1


@pytest.mark.parametrize("modality", BRANCHES)
def test_one_modality_is_enough(add_model: AddModel, tmp_path: Path, modality: str) -> None:
    add_model(modality)
    exported = run_export(tmp_path)
    assert exported.manifest.modalities == (modality,)
    inputs = {value.name for value in onnxruntime.InferenceSession(exported.path).get_inputs()}
    assert ("frames" in inputs) == (modality != "audio")
    assert ("audio" in inputs) == (modality == "audio")


def test_versions_count_up_and_are_never_overwritten(add_model: AddModel, tmp_path: Path) -> None:
    add_model("audio")
    assert run_export(tmp_path).manifest.version == "1"
    assert run_export(tmp_path, version=10).manifest.version == "10"
    assert run_export(tmp_path).path.parent.name == "11"
    with pytest.raises(InvalidModel, match="10 exists"):
        run_export(tmp_path, version=10)


def test_models_of_different_frame_sizes_are_named(add_model: AddModel, tmp_path: Path) -> None:
    add_model("image")
    add_model("video")
    keras_models.video_model(size=48).save(tmp_path / "video_model_best.keras")
    with pytest.raises(InvalidModel, match=r"image_model_best\.keras wants 32 x 32.*video.*48 x 48"):
        run_export(tmp_path)


@pytest.mark.parametrize(
    ("branch", "message"),
    [
        ({"window_samples": 64_000}, "window_samples 64000"),
        ({"temperature": -1}, "temperature"),
        ({"odd": 1}, "odd"),
    ],
)
def test_a_record_that_contradicts_its_model_is_named(
    add_model: AddModel, tmp_path: Path, branch: dict[str, object], message: str
) -> None:
    add_model("audio", branch=branch)
    with pytest.raises(InvalidModel, match=f"(?s)audio_model.json.*{message}") as caught:
        run_export(tmp_path)
    assert "correct the record" in caught.value.hint


def test_a_detector_whose_weights_are_all_zero_is_refused(add_model: AddModel, tmp_path: Path) -> None:
    add_model("audio")
    with pytest.raises(InvalidModel, match="all 0"):
        run_export(tmp_path, fusion_weights=FusionWeights(image=1, video=1, audio=0))


def test_nothing_is_left_behind_by_a_failure(
    add_model: AddModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model("audio")

    def fail(*_: object) -> str:
        raise ModelNotFound("stop here")

    monkeypatch.setattr(export_module, "model_card", fail)
    with pytest.raises(ModelNotFound):
        run_export(tmp_path)
    assert not list((tmp_path / "out" / "detector").iterdir())
