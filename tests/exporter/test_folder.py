import json
import shutil
from pathlib import Path

import pytest

from exporter.folder import find_trained
from server.errors import InvalidModel, ModelNotFound
from tests.training_records import AddModel


def test_finds_models_in_the_manifest_order(add_model: AddModel, tmp_path: Path) -> None:
    add_model("audio")
    add_model("image")
    shutil.copy(tmp_path / "image_model_best.keras", tmp_path / "image_model_final.keras")
    trained = find_trained(tmp_path)
    assert list(trained) == ["image", "audio"]
    assert trained["image"].path == tmp_path / "image_model_best.keras"
    assert trained["image"].record.seed == 7


def test_the_final_model_stands_in_for_the_best(add_model: AddModel, tmp_path: Path) -> None:
    add_model("image", keras_file="image_model_final.keras")
    (tmp_path / "image_model_best.keras").rename(tmp_path / "image_model_final.keras")
    assert find_trained(tmp_path)["image"].path.name == "image_model_final.keras"


def test_an_empty_folder_has_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=tmp_path.name):
        find_trained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modality": "audio"}, "record of a model for audio"),
        ({"keras_file": "image_model_final.keras"}, "record of image_model_final.keras"),
        ({"spec_hash": "feedfacefeedface"}, "spec feedfacefeedface"),
        ({"schema_version": 9}, "schema_version"),
    ],
)
def test_a_record_that_does_not_fit_is_named(
    add_model: AddModel, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = add_model("image")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InvalidModel, match=f"(?s)image_model.json.*{message}"):
        find_trained(tmp_path)


def test_a_record_that_is_no_json_is_named(add_model: AddModel, tmp_path: Path) -> None:
    add_model("image").write_bytes(b"\xff\x00 not json")
    with pytest.raises(InvalidModel, match=r"image_model\.json"):
        find_trained(tmp_path)


def test_a_model_without_a_record_is_named(add_model: AddModel, tmp_path: Path) -> None:
    add_model("video").unlink()
    with pytest.raises(InvalidModel, match=r"video_model_best\.keras has no readable training record"):
        find_trained(tmp_path)


def test_a_record_without_its_model_is_named(add_model: AddModel, tmp_path: Path) -> None:
    add_model("image")
    add_model("video")
    (tmp_path / "video_model_best.keras").unlink()
    with pytest.raises(InvalidModel, match=r"video_model\.json has no model"):
        find_trained(tmp_path)
