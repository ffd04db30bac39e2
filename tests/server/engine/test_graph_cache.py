import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxruntime
import pytest

from server.engine import processor
from server.engine.graph_cache import GraphCache, default_folder
from server.engine.session import Session
from server.errors import InvalidModel
from tests.random_rows import assert_same, random_rows
from tests.tiny_graph import tiny_detector


@pytest.fixture
def cache(tmp_path: Path) -> GraphCache:
    return GraphCache(tmp_path / "cache")


def copies(cache: GraphCache) -> list[Path]:
    return sorted(cache.folder.glob("*.onnx"))


def answer(graph: Path, cache: GraphCache | None) -> float:
    session = Session(graph, "cpu", cache=cache)
    return session.run([random_rows(session.manifest, 1, 2, 1, 1)])[0].fake_probability


def test_the_next_start_takes_the_copy_and_answers_the_same(
    graph: Path, session: Session, cache: GraphCache
) -> None:
    rows = random_rows(session.manifest, 1, 2, 1, 1)
    there = sorted(graph.parents[2].rglob("*"))
    for _ in range(2):
        copied = Session(graph, "cpu", cache=cache)
        assert copied.manifest == session.manifest
        assert_same(copied.run([rows])[0], session.run([rows])[0])
        (copy,) = copies(cache)
        os.utime(copy, (1, 1))
    Session(graph, "cpu", cache=cache)
    assert copy.stat().st_mtime > 1
    assert sorted(graph.parents[2].rglob("*")) == there


@pytest.mark.parametrize("damage", ["flipped", "short", "empty", "foreign"])
def test_a_damaged_copy_is_replaced(graph: Path, cache: GraphCache, damage: str) -> None:
    expected = answer(graph, cache)
    (copy,) = copies(cache)
    whole = copy.read_bytes()
    middle = len(whole) // 2
    broken = {
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "short": whole[:middle],
        "empty": b"",
        "foreign": b"not a graph",
    }
    copy.write_bytes(broken[damage])
    assert answer(graph, cache) == expected
    assert [found.read_bytes() for found in copies(cache)] == [whole]


def test_another_graph_under_the_same_name_gets_a_copy_of_its_own(tmp_path: Path, cache: GraphCache) -> None:
    graph = tiny_detector(tmp_path / "models")
    before, stat = answer(graph, cache), graph.stat()
    other = tiny_detector(tmp_path / "others", bias=1.0)
    assert other.stat().st_size == stat.st_size
    # In the same file, with the same size and time.
    graph.write_bytes(other.read_bytes())
    os.utime(graph, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert answer(graph, cache) == answer(other, None) != before


def test_another_processor_gets_a_copy_of_its_own(
    graph: Path, cache: GraphCache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = answer(graph, cache)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name: other\nflags: sse2\n")
    monkeypatch.setattr(processor, "_CPUINFO", cpuinfo)
    assert answer(graph, cache) == expected
    assert len(copies(cache)) == 2


def test_another_onnx_runtime_gets_a_copy_of_its_own(
    graph: Path, cache: GraphCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answer(graph, cache)
    monkeypatch.setattr(onnxruntime, "__version__", "99.0.0")
    assert answer(graph, cache) == expected
    monkeypatch.setattr(onnxruntime, "get_build_info", lambda: "another build")
    assert answer(graph, cache) == expected
    assert len(copies(cache)) == 3


# A way that is closed to this user fails as a name that is too long does, but not for root.
@pytest.mark.parametrize("name", ["file", 300 * "n"])
def test_without_a_folder_to_write_to_the_graph_is_served_all_the_same(
    graph: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("")
    cache = GraphCache(tmp_path / name)
    assert answer(graph, cache) == answer(graph, None)
    cache.remember(graph, "something", 1)
    assert cache.recall(graph, "something") is None


def test_a_file_that_is_no_graph_leaves_no_copy(tmp_path: Path, cache: GraphCache) -> None:
    graph = tmp_path / "model.onnx"
    graph.write_bytes(b"not a graph")
    with pytest.raises(InvalidModel, match=r"model\.onnx"):
        Session(graph, cache=cache)
    assert list(cache.folder.iterdir()) == []


def test_several_may_start_at_once(graph: Path, cache: GraphCache) -> None:
    with ThreadPoolExecutor(4) as starters:
        answers = list(starters.map(lambda _: answer(graph, cache), range(8)))
    assert len(set(answers)) == 1
    assert len(copies(cache)) == len(list(cache.folder.iterdir())) == 1


def test_copies_that_nobody_used_for_long_are_removed(graph: Path, cache: GraphCache) -> None:
    cache.folder.mkdir()
    old, recent = cache.folder / "old.onnx", cache.folder / "recent.onnx"
    for file in (old, recent):
        file.write_bytes(b"")
    long_ago = time.time() - 60 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    killed = cache.folder / "deepfake-unfinished-1234"
    killed.mkdir()
    (killed / "graph.onnx").write_bytes(b"")
    os.utime(killed, (long_ago, long_ago))
    answer(graph, cache)
    assert not old.exists()
    assert not killed.exists()
    assert recent.exists()


def test_notes_are_of_one_graph_and_survive_damage(graph: Path, tmp_path: Path, cache: GraphCache) -> None:
    cache.remember(graph, "layout", [1, 2])
    assert cache.recall(graph, "layout") == [1, 2]
    assert cache.recall(graph, "other") is None
    assert cache.recall(tiny_detector(tmp_path / "others"), "layout") is None
    (note,) = cache.folder.iterdir()
    note.write_text("[1,")
    assert cache.recall(graph, "layout") is None


def test_the_default_folder_is_where_caches_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/deepfake-detector")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_folder() == Path("/home/someone/.cache/deepfake-detector")
