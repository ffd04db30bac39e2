"""Raw tensors through the engine are what one run of the bare graph makes of them."""

from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from server.detect.mailbox import Mailbox
from server.detect.request import Stopwatch
from server.detect.tensors import infer, join, split
from server.engine.batch import Rows, Scores, Tensors, assemble
from server.engine.engine import Engine
from server.engine.session import Session
from server.errors import InvalidRequest
from server.urgency import Priority, Urgency
from tests.random_rows import random_rows
from tests.raw_requests import Arrays, run_bare
from tests.urgencies import soon

MAX_ROWS = 64


@pytest.fixture
def engine(session: Session) -> Iterator[Engine]:
    engine = Engine(session, workers=2)
    yield engine
    engine.close()


def assert_equal(got: Tensors, expected: Arrays) -> None:
    assert list(got) == list(expected)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype
        np.testing.assert_allclose(got[name], tensor, atol=1e-5, rtol=0, err_msg=name)


@st.composite
def feeds(draw: st.DrawFn) -> Arrays:
    """Any valid inputs of the tiny graph: rows of the subjects interleaved, frames shared or unused."""
    frames, subjects = draw(st.integers(0, 6)), draw(st.integers(1, 5))
    images = draw(st.integers(0, 8)) if frames else 0
    clips = draw(st.integers(0, 4)) if frames else 0
    windows = draw(st.integers(0, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return {
        "frames": random.integers(0, 256, (frames, 32, 32, 3), np.uint8),
        "image_index": random.integers(0, max(frames, 1), images),
        "image_request": random.integers(0, subjects, images),
        "clip_index": random.integers(0, max(frames, 1), (clips, 5)),
        "clip_request": random.integers(0, subjects, clips),
        "audio": random.uniform(-1, 1, (windows, 1600)).astype(np.float32),
        "audio_request": random.integers(0, subjects, windows),
        "weights": random.integers(0, 3, (subjects, 3)).astype(np.float32),
    }


@given(feeds())
@settings(max_examples=60)
def test_subjects_apart_are_scored_like_one_run(
    bare: ort.InferenceSession, session: Session, feeds: Arrays
) -> None:
    subjects = split(feeds, session.manifest, MAX_ROWS)
    assert len(subjects) == len(feeds["weights"])
    scores = session.run([subject.rows for subject in subjects])
    assert_equal(join(subjects, scores, session.manifest), run_bare(bare, feeds))


async def test_the_engine_answers_like_the_bare_graph(bare: ort.InferenceSession, engine: Engine) -> None:
    rows = [random_rows(engine.manifest, seed, images=2, clips=1, windows=seed) for seed in range(3)]
    feeds = assemble(rows, engine.manifest)
    timing = Stopwatch()
    answer = await infer(engine, feeds, soon(), MAX_ROWS, timing, Mailbox())
    assert_equal(answer, run_bare(bare, feeds))
    assert min(timing.queue, timing.inference) > 0
    assert engine.statistics.figures.scored.count == 3


def test_inputs_left_out_have_no_rows_and_weights_left_out_are_the_models(
    bare: ort.InferenceSession, session: Session
) -> None:
    full = assemble([random_rows(session.manifest, 1, windows=2)], session.manifest)
    given = {name: full[name] for name in ("audio", "audio_request")}
    subjects = split(given, session.manifest, MAX_ROWS)
    answer = join(subjects, session.run([subject.rows for subject in subjects]), session.manifest)
    assert_equal(answer, run_bare(bare, full))


VALID: Arrays = {
    "frames": np.zeros((2, 32, 32, 3), np.uint8),
    "image_index": np.array([0, 1]),
    "image_request": np.array([0, 1]),
    "clip_index": np.zeros((1, 5), np.int64),
    "clip_request": np.array([1]),
    "audio": np.zeros((1, 1600), np.float32),
    "audio_request": np.array([0]),
    "weights": np.ones((2, 3), np.float32),
}


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("pixels", np.zeros(1), "no input 'pixels'"),
        ("frames", np.zeros((2, 32, 32, 3), np.float32), "must be uint8"),
        ("frames", np.zeros((2, 32, 31, 3), np.uint8), "shape"),
        ("frames", np.zeros((2, 32 * 32 * 3), np.uint8), "shape"),
        ("frames", np.zeros((1, 32, 32, 3), np.uint8), "1 frames"),
        ("image_index", np.array([0, 2]), "2 frames"),
        ("image_index", np.array([-1, 0]), "holds -1"),
        ("image_index", np.array([0, 2**63 - 1]), "2 frames"),
        ("image_index", np.array([0]), "1 rows"),
        ("image_index", np.array([0, 1], np.int32), "must be int64"),
        ("image_request", np.array([0, 2]), "2 rows of weights"),
        ("image_request", np.array([0, -(2**63)]), "holds -9223372036854775808"),
        ("clip_index", np.full((1, 5), 2), "2 frames"),
        ("clip_index", np.zeros((1, 4), np.int64), "shape"),
        ("clip_request", np.array([5]), "2 rows of weights"),
        ("audio", np.full((1, 1600), np.nan, np.float32), "finite"),
        ("audio", np.full((1, 1600), -np.inf, np.float32), "finite"),
        ("audio", np.full((1, 1600), 1e38, np.float32), "finite sound"),
        ("audio", np.zeros((1, 1601), np.float32), "shape"),
        ("weights", np.full((2, 3), np.nan, np.float32), "finite"),
        ("weights", np.full((2, 3), -1, np.float32), ">= 0"),
        ("weights", np.zeros((0, 3), np.float32), "1 to 24 rows"),
        ("weights", np.ones((25, 3), np.float32), "1 to 24 rows, not 25, for 8 pictures"),
        ("weights", np.ones((2, 4), np.float32), "shape"),
        ("clip_index", np.zeros((13, 5), np.int64), "13 rows"),
    ],
)
def test_inputs_that_the_graph_must_not_see(
    session: Session, name: str, tensor: NDArray[Any], message: str
) -> None:
    assert split(VALID, session.manifest, MAX_ROWS)
    with pytest.raises(InvalidRequest, match=message):
        split({**VALID, name: tensor}, session.manifest, MAX_ROWS)


def test_rows_are_limited_by_what_they_cost(session: Session) -> None:
    """A clip counts as its frames."""
    few = {"frames": VALID["frames"], "clip_index": np.zeros((12, 5), np.int64)}
    assert split({**few, "clip_request": np.zeros(12, np.int64)}, session.manifest, MAX_ROWS)
    many = {"frames": VALID["frames"], "clip_index": np.zeros((13, 5), np.int64)}
    with pytest.raises(InvalidRequest, match="65 pictures, frames of clips and windows"):
        split({**many, "clip_request": np.zeros(13, np.int64)}, session.manifest, MAX_ROWS)


async def test_every_subject_is_as_urgent_as_its_call(engine: Engine) -> None:
    urgencies: list[Urgency] = []

    def submit(rows: Rows, urgency: Urgency) -> Future[Scores]:
        urgencies.append(urgency)
        return engine.submit(rows, urgency)

    recording: Any = SimpleNamespace(manifest=engine.manifest, submit=submit)
    feeds = assemble([random_rows(engine.manifest, seed, images=1) for seed in range(2)], engine.manifest)
    urgency = soon(priority=Priority.BATCH)
    await infer(recording, feeds, urgency, MAX_ROWS, Stopwatch(), Mailbox())
    assert urgencies == [urgency] * 2
