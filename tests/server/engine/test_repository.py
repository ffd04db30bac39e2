import os
from pathlib import Path

import pytest

from server.engine.repository import BUNDLED, Repository, graph_file
from server.engine.session import Session
from server.errors import ModelNotFound
from tests.tiny_graph import NAME, tiny_detector


def put(folder: Path, name: str, version: str) -> Path:
    path = folder / name / version / "model.onnx"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def numbers(repository: Repository) -> list[str]:
    return [version.number for version in repository.versions()]


def test_the_highest_version_comes_first_by_number(tmp_path: Path) -> None:
    for version in ("2", "10", "9"):
        put(tmp_path, "detector", version)
    repository = Repository(tmp_path)
    assert numbers(repository) == ["10", "9", "2"]
    assert repository.versions()[0].graph == tmp_path / "detector" / "10" / "model.onnx"


def test_a_pinned_version_is_the_only_one(tmp_path: Path) -> None:
    for version in ("2", "10"):
        put(tmp_path, "detector", version)
    assert numbers(Repository(tmp_path, pinned="2")) == ["2"]


def test_versions_come_and_go_and_change(tmp_path: Path) -> None:
    graph = put(tmp_path, "detector", "1")
    repository = Repository(tmp_path)
    (first,) = repository.versions()
    assert repository.versions() == [first]
    graph.write_bytes(b"another")
    (second,) = repository.versions()
    assert (second.number, second.graph) == (first.number, first.graph)
    assert second != first
    put(tmp_path, "detector", "2")
    assert numbers(repository) == ["2", "1"]
    graph.unlink()
    assert numbers(repository) == ["2"]


def test_other_precisions_are_part_of_the_version(tmp_path: Path) -> None:
    graph = put(tmp_path, "detector", "1")
    repository = Repository(tmp_path)
    (alone,) = repository.versions()
    int8 = graph_file(graph, "int8")
    int8.touch()
    (both,) = repository.versions()
    int8.write_bytes(b"another")
    (changed,) = repository.versions()
    assert len({alone, both, changed}) == 3
    assert {version.graph for version in (alone, both, changed)} == {graph}
    graph.unlink()
    assert not repository.versions()


def test_several_models_need_a_choice(tmp_path: Path) -> None:
    put(tmp_path, "a", "1")
    path = put(tmp_path, "b", "1")
    with pytest.raises(ModelNotFound, match="a, b"):
        Repository(tmp_path)
    assert Repository(tmp_path, "b").versions()[0].graph == path


@pytest.mark.parametrize(("name", "version"), [("other", None), ("detector", "7")])
def test_what_is_not_there_is_named(tmp_path: Path, name: str, version: str | None) -> None:
    put(tmp_path, "detector", "1")
    with pytest.raises(ModelNotFound, match=version or name) as caught:
        Repository(tmp_path, name, version)
    assert "--model" in caught.value.hint


def test_an_empty_folder_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=str(tmp_path)):
        Repository(tmp_path)


def test_a_folder_that_cannot_be_looked_into_is_an_error(tmp_path: Path) -> None:
    # As one below a folder that this user may not enter, but for root, too.
    with pytest.raises(ModelNotFound, match="cannot be read: File name too long"):
        Repository(tmp_path / (300 * "n"))


def test_folders_that_are_no_versions_are_ignored(tmp_path: Path) -> None:
    put(tmp_path, "detector", "latest")
    with pytest.raises(ModelNotFound):
        Repository(tmp_path)


def test_own_models_come_before_the_bundled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Repository(None).versions()[0].graph.is_relative_to(BUNDLED)
    put(tmp_path / "models", "mine", "1")
    assert Repository(None).versions()[0].graph == Path("models/mine/1/model.onnx")


def test_a_graph_has_the_number_of_its_folder(tmp_path: Path) -> None:
    exported = tiny_detector(tmp_path / "exported")
    other = tmp_path / "models" / NAME / "17" / "model.onnx"
    other.parent.mkdir(parents=True)
    other.write_bytes(exported.read_bytes())
    assert Session(other, "cpu").manifest.version == "17"


def test_a_version_that_may_not_be_looked_at_is_there_to_be_complained_of(tmp_path: Path) -> None:
    put(tmp_path, "detector", "1")
    graph = put(tmp_path, "detector", "2")
    graph.unlink()
    # Refused to everybody, root included, as a folder of another user is to others.
    graph.symlink_to(graph)
    assert numbers(Repository(tmp_path)) == ["2", "1"]


def test_the_right_to_read_a_version_is_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "detector", "1")
    repository = Repository(tmp_path)
    with monkeypatch.context() as patched:
        # As the mode of the file would have it, but not for root.
        patched.setattr(os, "access", lambda *_: False)
        unreadable = repository.versions()
    assert [version.number for version in unreadable] == ["1"]
    assert repository.versions() != unreadable
