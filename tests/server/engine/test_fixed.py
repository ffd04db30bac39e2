import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread, current_thread
from threading import enumerate as enumerate_threads

import numpy as np
import onnxruntime as ort
import pytest

from server.engine import fixed
from server.engine.batch import disassemble, empty_rows
from server.engine.cuda import Memory
from server.engine.engine import Engine
from server.engine.fixed import FixedRuns
from server.engine.manifest import Manifest
from server.engine.session import Session
from server.engine.shapes import Shapes
from server.errors import EngineFailed
from tests.random_rows import assert_same, random_rows

KINDS = [(1, 0, 0), (3, 0, 0), (0, 0, 2), (2, 1, 4), (0, 2, 0), (0, 0, 0)]


class MemoryApart(Memory):
    """Whose block for the graph is another one, as on a device."""

    def __init__(self, size: int, cuda: bool) -> None:
        super().__init__(size, cuda)
        self.there = np.zeros(size, np.uint8)
        self.address = self.there.ctypes.data

    def upload(self, size: int) -> None:
        self.there[:size] = self.host[:size]
        self.host[:] = 255

    def download(self) -> None:
        self.host[:] = self.there


def test_all_that_a_run_needs_is_copied_to_the_device_and_back(
    shaped: Session, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixed, "Memory", MemoryApart)
    shaped.prepare()
    for seed, counts in enumerate(KINDS * 3):
        rows = random_rows(session.manifest, seed, *counts)
        assert_same(shaped.run([rows])[0], session.run([rows])[0])


def test_threads_share_the_sessions_and_not_the_memory(shaped: Session, session: Session) -> None:
    shaped.prepare()
    together = Barrier(3)
    requests = [random_rows(session.manifest, seed, *counts) for seed, counts in enumerate(KINDS * 5)]
    expected = [session.run([rows])[0] for rows in requests]
    same = []

    def answer(first: int) -> None:
        shaped.attach()
        together.wait()
        for number in range(first, len(requests), 3):
            assert_same(shaped.run([requests[number]])[0], expected[number])
            same.append(number)

    threads = [Thread(target=answer, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(same) == len(requests)


def test_frames_in_no_row_need_no_room(shaped: Session, session: Session) -> None:
    rows = random_rows(session.manifest, 1, images=2, clips=1, windows=1)
    surplus = np.repeat(rows.frames, 9, axis=0)
    many = replace(rows, frames=surplus, image_index=9 * rows.image_index, clip_index=9 * rows.clip_index + 8)
    for answer in shaped.run([many, rows, many]):
        assert_same(answer, session.run([rows])[0])


def test_a_run_has_room_for_requests_without_rows(shaped: Session, session: Session) -> None:
    rows = random_rows(session.manifest, 1, images=1)
    answers = shaped.run([*[empty_rows(session.manifest)] * 40, rows])
    assert_same(answers[-1], session.run([rows])[0])
    assert not any(answer.modality_present.any() for answer in answers[:-1])


@pytest.mark.usefixtures("fixed_shapes")
def test_what_nobody_uses_any_more_is_gone_at_once(graph: Path) -> None:
    session = Session(graph, "cpu")
    Engine(session).close()
    gone = weakref.ref(session)
    del session
    assert gone() is None


def test_a_graph_that_cannot_be_captured_runs_without(
    graph: Path, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    def opened(dimensions: Mapping[str, int], captured: bool) -> ort.InferenceSession:
        if captured:
            raise RuntimeError("the model has a loop")
        return _fixed_session(graph, dimensions)

    runs = _runs_on_cuda(opened, session.manifest)
    runs.prepare()
    rows = random_rows(session.manifest, 1, images=2, windows=3)
    assert_same(disassemble(runs.run([rows]), [rows])[0], session.run([rows])[0])
    assert caplog.text.count("cannot be captured") == 1
    assert "a loop" in caplog.text


def test_runs_that_are_larger_than_usual_are_not_captured(graph: Path, session: Session) -> None:
    captures = {}

    def opened(dimensions: Mapping[str, int], captured: bool) -> ort.InferenceSession:
        captures[dimensions["I"]] = captured
        return _fixed_session(graph, dimensions)

    runs = _runs_on_cuda(opened, session.manifest)
    for images in (64, 65):
        rows = random_rows(session.manifest, images, images)
        assert_same(disassemble(runs.run([rows]), [rows])[0], session.run([rows])[0])
    assert captures == {64: True, 128: False}


@pytest.mark.parametrize("worker", ["MainThread", "engine-1"])
def test_a_device_without_room_is_an_error_that_says_so(
    shaped: Session, worker: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Memory):
        def __init__(self, size: int, cuda: bool) -> None:
            if current_thread().name == worker:
                raise EngineFailed("no room", "Use a larger GPU.")
            super().__init__(size, cuda)

    monkeypatch.setattr(fixed, "Memory", Full)
    before = set(enumerate_threads())
    with pytest.raises(EngineFailed, match="no room") as caught:
        Engine(shaped)
    assert caught.value.hint == "Use a larger GPU."
    assert "cannot be captured" not in caplog.text
    assert set(enumerate_threads()) <= before


def test_a_graph_that_cannot_be_run_is_an_error(graph: Path, session: Session) -> None:
    def opened(dimensions: Mapping[str, int], captured: bool) -> ort.InferenceSession:
        raise RuntimeError("no kernel")

    with pytest.raises(RuntimeError, match="no kernel"):
        _runs_on_cuda(opened, session.manifest).prepare()


def _runs_on_cuda(opened: fixed.Open, manifest: Manifest) -> FixedRuns:
    """As there: runs of common shapes are opened to be captured."""
    return FixedRuns(opened, manifest, Shapes.of(manifest, (0, 0, 0)), cuda=True)


def _fixed_session(graph: Path, dimensions: Mapping[str, int]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    for name, size in dimensions.items():
        options.add_free_dimension_override_by_name(name, size)
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
