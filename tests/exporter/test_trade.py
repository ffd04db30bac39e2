from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from scipy.special import expit

from exporter.evidence import File, collect_evidence
from exporter.samples import collect_samples
from exporter.trade import AUC_LOSS, SPEED_UP, measure_change, measure_speed, pays
from server.engine.manifest import Change, Manifest, Precision
from server.errors import InvalidModel, ModelNotFound
from tests import media
from tests.exporter.labelled import write_labelled
from tests.tiny_graph import tiny_detector


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[Precision, bytes]:
    """The second one's logits are larger by 0.5."""
    folder = tmp_path_factory.mktemp("models")
    return {"fp32": tiny_detector(folder).read_bytes(), "int8": tiny_detector(folder, bias=0.5).read_bytes()}


def photos(*brightness: int) -> Iterator[File]:
    """The odd ones are fakes."""
    for number, level in enumerate(brightness):
        yield File({"image": np.full((1, 32, 32, 3), level, np.uint8)}, number % 2)


def sounds() -> Iterator[File]:
    yield File({"audio": np.zeros((2, 1600), np.float32), "video": np.full((1, 5, 32, 32, 3), 255, np.uint8)})


def test_every_file_is_judged_by_both(graphs: dict[Precision, bytes], manifest: Manifest) -> None:
    changes = measure_change(graphs, manifest, [*photos(0, 255, 200, 100), *sounds()])["int8"]
    assert {name: change.files for name, change in changes.items()} == {"image": 4, "video": 1, "audio": 1}
    expected = expit(0.5) - 0.5
    assert changes["audio"].largest == pytest.approx(expected, abs=1e-6)
    assert changes["audio"].auc is None
    assert changes["image"].mean < changes["image"].largest
    # One of two fakes is brighter than both reals, the other than one of them.
    assert changes["image"].auc == changes["image"].auc_before == 0.75


def test_what_a_precision_turns_round_is_told(graphs: dict[Precision, bytes], manifest: Manifest) -> None:
    turned = onnx.load_from_string(graphs["fp32"])
    for constant in turned.graph.initializer:
        if constant.name.startswith("image/") and constant.data_type == onnx.TensorProto.FLOAT:
            value = -numpy_helper.to_array(constant)
            constant.CopyFrom(numpy_helper.from_array(value, constant.name))
    graphs = graphs | {"int8": turned.SerializeToString()}
    files = [*photos(0, 255, 200, 100), *photos(255, 0, 55, 155), *sounds()]
    change = measure_change(graphs, manifest, files)["int8"]["image"]
    # Half of the probabilities fall as much as the others rise.
    assert change.mean == pytest.approx(np.abs(1 - 2 * expit([4, 4, 2.27451, 0.86275])).mean(), abs=1e-4)
    change = measure_change(graphs, manifest, [*photos(0, 255, 200, 100), *sounds()])["int8"]["image"]
    assert (change.auc_before, change.auc) == (0.75, 0.25)


def test_a_modality_without_files_is_named(graphs: dict[Precision, bytes], manifest: Manifest) -> None:
    with pytest.raises(InvalidModel, match="video") as caught:
        measure_change(graphs, manifest, photos(0, 255))
    assert "test split" in caught.value.hint


def test_speed_is_by_modality(graphs: dict[Precision, bytes], manifest: Manifest) -> None:
    rows = collect_samples(manifest, None)[0].rows
    seconds = measure_speed(graphs, manifest, rows)
    assert set(seconds) == set(graphs)
    assert all(set(times) == {"image", "video", "audio"} for times in seconds.values())
    assert all(value > 0 for times in seconds.values() for value in times.values())


@pytest.mark.parametrize(
    ("losses", "speed_up", "worth"),
    [
        ([0.0], SPEED_UP, True),
        ([0.0], 0.99 * SPEED_UP, False),
        ([0.9 * AUC_LOSS, -0.1], 2.0, True),
        ([0.0, 1.1 * AUC_LOSS], 2.0, False),
        ([0.0, None], 2.0, False),
    ],
)
def test_what_pays(losses: list[float | None], speed_up: float, worth: bool) -> None:
    changes = {
        str(number): Change(files=9, mean=0, largest=0)
        if loss is None
        else Change(files=9, mean=0, largest=0, auc=0.8 - loss, auc_before=0.8)
        for number, loss in enumerate(losses)
    }
    assert pays(changes, speed_up) == worth


def test_a_label_is_about_what_a_file_was_made_for(manifest: Manifest, tmp_path: Path) -> None:
    data = write_labelled(tmp_path, *[(kind, split) for split in ("val", "test") for kind in ("mp4", "wav")])
    evidence = collect_evidence(manifest, data, [])
    assert set(evidence.calibration) == {"image", "video", "audio"}
    found = {tuple(sorted(file.rows)): file.label for file in evidence.files}
    # The video's sound is left out, and the files of the validation split are.
    assert found == {("image", "video"): 0, ("audio",): 1}


def test_files_give_as_many_windows_as_the_server_takes(manifest: Manifest, tmp_path: Path) -> None:
    assert manifest.audio
    few = manifest.model_copy(update={"audio": manifest.audio.model_copy(update={"max_windows": 3})})
    sounds_only = few.model_copy(update={"image": None, "video": None})
    evidence = collect_evidence(sounds_only, write_labelled(tmp_path, ("wav", "val"), ("wav", "test")), [])
    assert [len(file.rows["audio"]) for file in evidence.files] == [3]


def test_a_model_without_files_to_calibrate_on_is_named(manifest: Manifest, tmp_path: Path) -> None:
    data = write_labelled(tmp_path, ("jpg", "val"), ("mp4", "val"), ("wav", "test"))
    with pytest.raises(ModelNotFound, match="audio model"):
        collect_evidence(manifest, data, [])


def test_a_folder_without_data_is_named(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=tmp_path.name):
        collect_evidence(manifest, tmp_path, [])


def test_without_data_nobody_knows_the_labels(manifest: Manifest, tmp_path: Path) -> None:
    generated = collect_evidence(manifest, None, collect_samples(manifest, None))
    assert {file.label for file in generated.files} == {None}
    assert "unlabelled" in generated.measured_on
    (tmp_path / "clip.mp4").write_bytes(media.video_mp4())
    own = collect_evidence(manifest, None, collect_samples(manifest, tmp_path))
    assert own.calibrated_on.startswith("given media")


def test_given_media_must_have_something_for_every_model(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(media.photo_jpeg())
    with pytest.raises(ModelNotFound, match="nothing for the video model"):
        collect_evidence(manifest, None, collect_samples(manifest, tmp_path))


def test_a_precision_that_gives_no_number_is_refused(
    graphs: dict[Precision, bytes], manifest: Manifest, tmp_path: Path
) -> None:
    graphs = graphs | {"fp16": tiny_detector(tmp_path, bias=float("nan")).read_bytes()}
    with pytest.raises(InvalidModel, match="fp16 gives no number"):
        measure_change(graphs, manifest, photos(0, 255))
