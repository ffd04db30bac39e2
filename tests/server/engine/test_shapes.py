import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from server.engine import fixed
from server.engine.batch import Counts, blank_rows
from server.engine.cost import CostModel
from server.engine.cuda import Memory
from server.engine.engine import Engine
from server.engine.selftest import self_test
from server.engine.session import Session
from server.engine.shapes import Shapes
from server.errors import EngineFailed
from server.urgency import NOT_URGENT
from tests.random_rows import assert_as_alone, assert_same, random_rows
from tests.tiny_graph import tiny_detector

pytestmark = pytest.mark.usefixtures("fixed_shapes")

COUNTS = st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 9))


def test_photos_sound_and_videos_have_shapes_of_their_own() -> None:
    photos = [(1, 0, 0), (8, 0, 0), (16, 0, 0), (32, 0, 0), (64, 0, 0)]
    sounds = [(0, 0, windows) for windows, *_ in photos]
    assert Shapes((5, 2, 16)).all() == [*photos, *sounds, (5, 2, 16), (10, 4, 32), (20, 8, 64)]
    assert Shapes((5, 0, 0)).all() == photos
    assert Shapes((0, 0, 16)).all() == sounds
    assert Shapes((0, 2, 0)).all() == [(0, 2, 0), (0, 8, 0), (0, 16, 0), (0, 32, 0), (0, 64, 0)]
    assert Shapes((5, 0, 0), least=(3, 0, 0)).all() == [(3, 0, 0), *photos[1:]]


@given(batch=st.lists(COUNTS, min_size=1, max_size=40))
def test_runs_hold_every_request_once_in_a_shape_that_is_ready(session: Session, batch: list[Counts]) -> None:
    shapes = Shapes((5, 3, 9), least=(0, 1, 0))
    requests = [blank_rows(session.manifest, *counts) for counts in batch]
    runs = list(shapes.groups(requests))
    assert sorted(index for run in runs for index in run) == list(range(len(batch)))
    for run in runs:
        total = np.sum([batch[index] for index in run], axis=0)
        shape = shapes.around([requests[index] for index in run])
        assert shape in shapes.all()
        assert (total <= shape).all()
        # A photo does not pay for the clips of a video that came at the same time.
        assert shape[1] == 1 or any(batch[index][1] or min(batch[index][::2]) for index in run)


@given(batch=st.lists(COUNTS, min_size=1, max_size=40))
def test_requests_of_one_kind_whose_shares_are_no_more_than_a_run_fit_in_one(
    session: Session, batch: list[Counts]
) -> None:
    shapes = Shapes((5, 3, 9))
    requests = [blank_rows(session.manifest, *counts) for counts in batch if counts[1]]
    while sum(map(shapes.share, requests)) > 1:
        requests.pop()
    assert len(list(shapes.groups(requests))) == (1 if requests else 0)


def test_a_request_fills_as_much_as_it_takes_of_the_largest_run(session: Session) -> None:
    shapes = Shapes((5, 2, 16))
    counts = {(1, 0, 0): 1 / 64, (128, 0, 0): 2, (0, 0, 16): 1 / 4, (5, 2, 16): 1 / 4, (1, 1, 0): 1 / 8}
    assert {each: shapes.share(blank_rows(session.manifest, *each)) for each in counts} == counts


def test_a_request_that_is_larger_than_all_shapes_gets_one_of_its_own(session: Session) -> None:
    shapes = Shapes((5, 2, 16))
    requests = [blank_rows(session.manifest, *counts) for counts in [(1, 0, 0), (70, 0, 0), (1, 0, 0)]]
    assert list(shapes.groups(requests)) == [[0], [1], [2]]
    assert shapes.around(requests[1:2]) == (128, 0, 0)
    assert shapes.around([blank_rows(session.manifest, 128, 0, 0)]) == (128, 0, 0)
    assert shapes.around([blank_rows(session.manifest, 0, 9, 0)]) == (40, 16, 128)


@settings(max_examples=25)
@given(batch=st.lists(COUNTS, min_size=1, max_size=6))
def test_filled_up_runs_answer_as_exact_ones_do(graph: Path, session: Session, batch: list[Counts]) -> None:
    shaped = Session(graph, "cpu")
    requests = [random_rows(session.manifest, seed, *counts) for seed, counts in enumerate(batch)]
    assert_as_alone(shaped.run(requests), requests, session)


def test_a_shape_that_has_to_be_prepared_meanwhile_is_logged_once(
    shaped: Session, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    rows = random_rows(session.manifest, 1, images=65)
    with caplog.at_level("INFO"):
        for _ in range(2):
            assert_same(shaped.run([rows])[0], session.run([rows])[0])
    assert caplog.text.count("128 images") == 1


def test_what_a_run_held_before_changes_nothing(shaped: Session, session: Session) -> None:
    for images in (9, 2, 30, 1):
        rows = random_rows(session.manifest, images, images, clips=2)
        assert_same(shaped.run([rows])[0], session.run([rows])[0])


def test_an_engine_answers_a_mixed_batch(shaped: Session, session: Session) -> None:
    shaped.prepare()
    self_test(shaped)
    engine = Engine(shaped, 1, max_queue_delay=0.2)
    kinds = [(1, 0, 0), (0, 0, 3), (2, 1, 4), (1, 0, 0), (0, 0, 1), (0, 2, 0)] * 3
    requests = [random_rows(session.manifest, seed, *counts) for seed, counts in enumerate(kinds)]
    futures = [engine.submit(rows, NOT_URGENT) for rows in requests]
    assert_as_alone([future.result(30) for future in futures], requests, session)
    engine.close()


def test_as_many_requests_as_fit_share_one_run(shaped: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "server.engine.engine.warm_up", lambda _: CostModel(1e-6, (1e-6,) * 3, (math.inf,) * 3)
    )
    together: list[int] = []
    # It waits until all are there, however long that takes.
    engine = Engine(
        shaped,
        1,
        max_batch_size=20,
        max_queue_delay=30.0,
        on_batch=lambda jobs, _: together.append(len(jobs)),
    )
    # The largest run has room for 20 frames of videos.
    for future in [engine.submit(blank_rows(shaped.manifest, 1, 0, 1), NOT_URGENT) for _ in range(20)]:
        future.result(30)
    engine.close()
    assert together == [20]


def test_requests_that_are_too_large_for_the_device_fail_alone(
    shaped: Session, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Small(Memory):
        def __init__(self, size: int, cuda: bool) -> None:
            if size > 2**20:
                raise EngineFailed("no room")
            super().__init__(size, cuda)

    engine = Engine(shaped, 1)
    monkeypatch.setattr(fixed, "Memory", Small)
    for _ in range(5):
        with pytest.raises(EngineFailed, match="no room"):
            engine.submit(random_rows(session.manifest, 1, images=1000), NOT_URGENT).result(30)
    rows = random_rows(session.manifest, 1, images=1)
    assert_same(engine.submit(rows, NOT_URGENT).result(30), session.run([rows])[0])
    engine.close()


def test_a_graph_that_fails_without_rows_gets_blank_ones(tmp_path: Path, session: Session) -> None:
    graph = onnx.load(tiny_detector(tmp_path))
    _refuse_no_sound(graph)
    onnx.save(graph, tmp_path / "picky.onnx")
    picky = Session(tmp_path / "picky.onnx", "cpu")
    rows = random_rows(session.manifest, 1, images=2)
    assert_same(picky.run([rows])[0], session.run([rows])[0])
    self_test(picky)


def _refuse_no_sound(model: onnx.ModelProto) -> None:
    """Makes the weights depend on the first window, without changing them."""
    for node in model.graph.node:
        node.input[:] = ["same_weights" if name == "weights" else name for name in node.input]
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.zeros((1, 1), np.int64), "first"),
            numpy_helper.from_array(np.zeros((), np.float32), "nothing"),
        ]
    )
    for place, node in enumerate(
        [
            helper.make_node("GatherND", ["audio", "first"], ["window"]),
            helper.make_node("ReduceMax", ["window"], ["loudest"], keepdims=0),
            helper.make_node("Mul", ["loudest", "nothing"], ["zero"]),
            helper.make_node("Add", ["weights", "zero"], ["same_weights"]),
        ]
    ):
        model.graph.node.insert(place, node)
