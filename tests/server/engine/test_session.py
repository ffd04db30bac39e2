from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from server.engine.batch import Counts, blank_rows, counts_of, empty_rows
from server.engine.graph_cache import GraphCache
from server.engine.providers import Provider, Wish
from server.engine.repository import BUNDLED
from server.engine.session import Session
from server.errors import EngineFailed, InvalidModel
from tests.random_rows import assert_as_alone, random_rows
from tests.tiny_graph import tiny_detector

COUNTS = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3))


@settings(max_examples=50)
@given(batch=st.lists(COUNTS, min_size=1, max_size=6))
def test_a_batch_answers_as_single_runs_do(session: Session, batch: list[Counts]) -> None:
    requests = [random_rows(session.manifest, seed, *counts) for seed, counts in enumerate(batch)]
    assert_as_alone(session.run(requests), requests, session)


def test_a_known_answer(session: Session) -> None:
    white = replace(
        empty_rows(session.manifest),
        frames=np.full((1, 32, 32, 3), 255, np.uint8),
        image_index=np.zeros(1, np.int64),
        weights=np.array([0.4, 0.4, 0.2], np.float32),
    )
    (scores,) = session.run([white])
    assert scores.fake_probability == pytest.approx(expit(4), abs=1e-6)
    assert scores.modality_present.tolist() == [True, False, False]


def test_nothing_present_is_no_probability_and_no_nan(session: Session) -> None:
    (scores,) = session.run([replace(empty_rows(session.manifest), weights=np.ones(3, np.float32))])
    assert scores.fake_probability == 0
    assert not scores.modality_present.any()


@pytest.mark.parametrize("modality", ["image", "video", "audio"])
def test_a_graph_of_one_modality(tmp_path: Path, modality: str) -> None:
    session = Session(tiny_detector(tmp_path, modalities=(modality,)), "cpu")
    assert session.manifest.modalities == (modality,)
    (scores,) = session.run([random_rows(session.manifest, 1, *counts_of(modality, 2))])
    assert scores.modality_present.sum() == 1


def test_a_provider_that_refuses_empty_inputs_gives_the_same_answers(graph: Path, session: Session) -> None:
    picky = Session(graph, "cpu")
    picky.provider = replace(picky.provider, accepts_empty=False)
    requests = [random_rows(session.manifest, 1, images=2), random_rows(session.manifest, 2, windows=1)]
    assert_as_alone(picky.run(requests), requests, session)


def test_a_graph_without_manifest_is_refused(graph: Path, tmp_path: Path) -> None:
    foreign = onnx.load(graph)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(InvalidModel, match="no detector manifest"):
        Session(tmp_path / "foreign.onnx")


def test_a_provider_that_is_not_there_is_an_error(graph: Path) -> None:
    with pytest.raises(EngineFailed, match="coreml"):
        Session(graph, "coreml")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_for_which_onnx_runtime_takes_the_cpu_is_an_error(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Provider("OtherExecutionProvider", "asked for", workers=1)
    monkeypatch.setattr("server.engine.session.candidates", lambda _: [other])
    with pytest.raises(EngineFailed, match="libraries could not be loaded"):
        Session(graph, "cuda")


@pytest.mark.parametrize("cached", [False, True])
def test_a_run_has_as_many_threads_as_it_is_told(graph: Path, tmp_path: Path, cached: bool) -> None:
    cache = GraphCache(tmp_path / "cache") if cached else None
    for threads in (1, 3):
        options = Session(graph, "cpu", threads, cache)._session.get_session_options()
        assert options.intra_op_num_threads == threads
        assert options.inter_op_num_threads == 1


@pytest.mark.parametrize("wish", ["auto", "cpu"])
def test_a_file_that_is_no_graph_is_to_blame_and_not_the_provider(tmp_path: Path, wish: Wish) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(InvalidModel, match=r"model\.onnx is not a graph"):
        Session(tmp_path / "model.onnx", wish)


def test_another_session_of_a_large_graph_takes_hardly_more_memory() -> None:
    first, second = (Session(BUNDLED / "demo/1/model.onnx", "cpu") for _ in range(2))
    rows = [blank_rows(first.manifest, 64, 0, 0)]
    for _ in range(2):
        first.run(rows)
    before = psutil.Process().memory_info().rss
    for _ in range(2):
        second.run(rows)
    # What such a run needs is some 200 MB, which the second would keep as well if it had an arena of its own.
    assert psutil.Process().memory_info().rss - before < 100 * 2**20
