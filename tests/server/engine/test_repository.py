from pathlib import Path

import pytest

from server.engine.repository import find_model
from server.errors import ModelNotFound


def put(folder: Path, name: str, version: str) -> Path:
    path = folder / name / version / "model.onnx"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_the_highest_version_is_served_by_number(tmp_path: Path) -> None:
    for version in ("2", "10", "9"):
        put(tmp_path, "detector", version)
    assert find_model(tmp_path) == tmp_path / "detector" / "10" / "model.onnx"
    assert find_model(tmp_path, version="9") == tmp_path / "detector" / "9" / "model.onnx"


def test_several_models_need_a_choice(tmp_path: Path) -> None:
    put(tmp_path, "a", "1")
    path = put(tmp_path, "b", "1")
    with pytest.raises(ModelNotFound, match="a, b"):
        find_model(tmp_path)
    assert find_model(tmp_path, "b") == path


@pytest.mark.parametrize(("name", "version"), [("other", None), ("detector", "7")])
def test_what_is_not_there_is_named(tmp_path: Path, name: str, version: str | None) -> None:
    put(tmp_path, "detector", "1")
    with pytest.raises(ModelNotFound, match=version or name):
        find_model(tmp_path, name, version)


def test_an_empty_folder_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=str(tmp_path)):
        find_model(tmp_path)


def test_folders_that_are_no_versions_are_ignored(tmp_path: Path) -> None:
    put(tmp_path, "detector", "latest")
    with pytest.raises(ModelNotFound):
        find_model(tmp_path)


def test_own_models_come_before_the_bundled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "models", "mine", "1")
    assert find_model(None) == Path("models/mine/1/model.onnx")
