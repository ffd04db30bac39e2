from pathlib import Path

import pytest

from benchmarks.engine import startup


def test_a_server_is_started_in_each_way(graph: Path) -> None:
    seconds = startup.measure(graph, 1, lambda _: None)
    assert list(seconds) == [startup.WITHOUT, startup.FIRST, startup.LATER]
    assert all(len(samples) == 1 and samples[0] > 0 for samples in seconds.values())
    assert len(startup.table(seconds).rows) == 3


def test_a_server_that_ends_at_once_is_an_error(tmp_path: Path) -> None:
    graph = tmp_path / "broken" / "1" / "model.onnx"
    graph.parent.mkdir(parents=True)
    graph.write_bytes(b"not a graph")
    with pytest.raises(RuntimeError, match="ended at once"):
        startup.measure(graph, 1, lambda _: None)
