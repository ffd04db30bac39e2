import math

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy.special import expit

from exporter.fusion import ModalityRows, fuse
from exporter.graph import IR_VERSION, OPSET
from exporter.nodes import Nodes
from server.engine.manifest import MODALITIES, Branch
from tests.exporter import fusion_reference
from tests.exporter.fusion_reference import Fused, Rows

OUTPUTS = ("fake_probability", "modality_probability", "modality_present")
BRANCHES = {
    "image": Branch(temperature=1.7, bias=-0.3, aggregation="log_mean_exp", sharpness=2.0),
    "video": Branch(temperature=0.6, bias=0.2),
    "audio": Branch(aggregation="log_mean_exp", sharpness=0.5),
}
DEFAULT = [0.4, 0.4, 0.2]

RowLogits = tuple[list[float], list[int]]
"""Of the rows of one modality; and the request of each."""
Batch = tuple[dict[str, RowLogits], list[list[float]]]
"""Rows by modality, and the weights of each request."""


def fusion_session(branches: dict[str, Branch]) -> onnxruntime.InferenceSession:
    """A graph of fusion alone: logits come in as inputs."""
    nodes = Nodes("fusion/")
    inputs = [helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["R", 3])]
    rows = {}
    for modality, branch in branches.items():
        inputs.append(helper.make_tensor_value_info(f"{modality}_logit", TensorProto.FLOAT, [modality]))
        inputs.append(helper.make_tensor_value_info(f"{modality}_request", TensorProto.INT64, [modality]))
        rows[modality] = ModalityRows(
            branch, f"{modality}_logit", f"{modality}_request", f"{modality}_probability"
        )
    fuse(nodes, rows, "weights")
    types = (TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.BOOL)
    outputs = [
        helper.make_tensor_value_info(name, dtype, None) for name, dtype in zip(OUTPUTS, types, strict=True)
    ]
    outputs += [
        helper.make_tensor_value_info(f"{modality}_probability", TensorProto.FLOAT, None)
        for modality in branches
    ]
    graph = helper.make_graph(nodes.nodes, "fusion", inputs, outputs, nodes.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return onnxruntime.InferenceSession(model.SerializeToString())


SESSION = fusion_session(BRANCHES)


def run(
    logits: dict[str, RowLogits],
    weights: list[list[float]],
    session: onnxruntime.InferenceSession = SESSION,
) -> Fused:
    feed: dict[str, NDArray[np.generic]] = {"weights": np.array(weights, np.float32)}
    for modality, (logit, request) in logits.items():
        feed[f"{modality}_logit"] = np.array(logit, np.float32)
        feed[f"{modality}_request"] = np.array(request, np.int64)
    return Fused(*session.run(OUTPUTS, feed))


def reference(logits: dict[str, RowLogits], weights: list[list[float]]) -> Fused:
    rows = {
        modality: Rows(BRANCHES[modality], np.array(logit, np.float64), np.array(request, np.int64))
        for modality, (logit, request) in logits.items()
    }
    return fusion_reference.fuse(rows, np.array(weights, np.float64))


NOTHING: RowLogits = ([], [])


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Requests of any kind, their rows in any order."""
    requests = draw(st.integers(1, 6))
    row = st.tuples(st.floats(-60, 60, width=32), st.integers(0, requests - 1))
    logits = {}
    for modality in MODALITIES:
        rows = draw(st.lists(row, max_size=8))
        logits[modality] = ([logit for logit, _ in rows], [request for _, request in rows])
    weight = st.one_of(st.just(0.0), st.floats(2**-10, 2**10, width=32))
    weights = draw(st.lists(st.lists(weight, min_size=3, max_size=3), min_size=requests, max_size=requests))
    return logits, weights


@settings(max_examples=300)
@given(batches())
def test_ragged_batches_agree_with_numpy(batch: Batch) -> None:
    fusion_reference.assert_same(run(*batch), reference(*batch))


def test_golden_numbers() -> None:
    # Video: mean(1, 3) = 2, sigmoid(2 / 0.6 + 0.2) = 0.97163; audio: ln((e^0.5 + e^-0.5) / 2) / 0.5.
    got = run({"image": NOTHING, "video": ([1, 3], [0, 0]), "audio": ([1, -1], [0, 0])}, [DEFAULT])
    video = expit(2 / 0.6 + 0.2)
    audio = expit(math.log((math.exp(0.5) + math.exp(-0.5)) / 2) / 0.5)
    np.testing.assert_allclose(got.modality_probability, [[0, video, audio]], atol=1e-6)
    np.testing.assert_allclose(got.fake_probability, [(0.4 * video + 0.2 * audio) / 0.6], atol=1e-6)


def test_rows_are_calibrated_one_by_one() -> None:
    logit = np.array([-2.0, 0.0, 5.0], np.float32)
    feed = {
        "weights": np.array([DEFAULT], np.float32),
        "image_logit": logit,
        "image_request": np.zeros(3, np.int64),
        **{f"{other}_logit": np.zeros(0, np.float32) for other in ("video", "audio")},
        **{f"{other}_request": np.zeros(0, np.int64) for other in ("video", "audio")},
    }
    (got,) = SESSION.run(["image_probability"], feed)
    np.testing.assert_allclose(got, expit(logit / 1.7 - 0.3), atol=1e-6)


def test_nothing_present_is_zero_and_absent() -> None:
    got = run(dict.fromkeys(MODALITIES, NOTHING), [DEFAULT, DEFAULT])
    np.testing.assert_array_equal(got.fake_probability, [0, 0])
    np.testing.assert_array_equal(got.modality_probability, np.zeros((2, 3)))
    assert not got.modality_present.any()


@pytest.mark.parametrize("modality", MODALITIES)
def test_one_modality_alone_takes_the_whole_weight(modality: str) -> None:
    logits = dict.fromkeys(MODALITIES, NOTHING) | {modality: ([0.7], [1])}
    got = run(logits, [DEFAULT, DEFAULT])
    column = MODALITIES.index(modality)
    assert got.modality_present.tolist() == [[False] * 3, [index == column for index in range(3)]]
    assert got.fake_probability[1] == pytest.approx(got.modality_probability[1, column], abs=1e-7)


def test_weight_zero_switches_a_modality_off() -> None:
    logits = {"image": ([9.0], [0]), "video": NOTHING, "audio": ([-1.0], [0])}
    got = run(logits, [[0, 0.4, 0.2]])
    assert got.modality_present.tolist() == [[False, False, True]]
    assert got.modality_probability[0, 0] == 0
    assert got.fake_probability[0] == pytest.approx(expit(-1), abs=1e-6)


def test_tiny_and_huge_weights_do_not_vanish() -> None:
    logits = {"image": ([1.0], [0]), "video": ([-1.0], [0]), "audio": NOTHING}
    equal = run(logits, [[1, 1, 1]]).fake_probability
    for weight in (1e-37, 3e38):
        np.testing.assert_allclose(run(logits, [[weight] * 3]).fake_probability, equal, atol=1e-6)


def test_log_mean_exp_survives_logits_far_apart() -> None:
    # One request's large logits must not underflow another's small ones, and exp must not overflow.
    logits = {
        "image": ([500.0, -500.0, -498.0], [0, 1, 1]),
        "video": NOTHING,
        "audio": ([300.0, 301.0], [0, 0]),
    }
    got, expected = run(logits, [DEFAULT, DEFAULT]), reference(logits, [DEFAULT, DEFAULT])
    np.testing.assert_allclose(got.modality_probability, expected.modality_probability, atol=1e-6)


@pytest.mark.parametrize("modality", MODALITIES)
def test_nan_stays_with_its_request(modality: str) -> None:
    clean = {name: ([1.0, 2.0], [0, 1]) for name in MODALITIES}
    dirty = clean | {modality: ([math.nan, 2.0], [0, 1])}
    got = run(dirty, [DEFAULT, DEFAULT])
    assert math.isnan(got.fake_probability[0])
    assert got.fake_probability[1] == run(clean, [DEFAULT, DEFAULT]).fake_probability[1]


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_missing_branch_is_never_present(modality: str) -> None:
    session = fusion_session({modality: BRANCHES[modality]})
    assert {value.name for value in session.get_inputs()} == {
        "weights",
        f"{modality}_logit",
        f"{modality}_request",
    }
    logits = {modality: ([0.4, -1.0], [0, 0])}
    weights = [DEFAULT, DEFAULT]
    fusion_reference.assert_same(run(logits, weights, session), reference(logits, weights))
