from functools import partial

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from exporter.layers import Parts
from exporter.parity import probability
from exporter.quantize import Probability, Quantized, quantize
from server.engine.manifest import Branch as Calibration
from server.errors import InvalidModel
from tests.exporter.branches import BRANCHES, audio_branch, image_branch, logits, rows_of

ROWS = {modality: rows_of(modality, 24) for modality in BRANCHES}
MAX_CHANGE = 0.01


def calibrated(modality: str, branch: onnx.ModelProto) -> Probability:
    """Probabilities on both sides of 0.5, where they tell most."""
    found = logits(branch, ROWS[modality])
    temperature = 2 * float(found.std())
    return partial(probability, Calibration(temperature=temperature, bias=-float(found.mean()) / temperature))


@pytest.fixture(scope="module", params=BRANCHES)
def modality(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def quantized(modality: str) -> Quantized:
    branch = BRANCHES[modality]()
    return quantize(branch, ROWS[modality], calibrated(modality, branch), MAX_CHANGE)


def in_bytes(branch: onnx.ModelProto) -> set[str]:
    """Layers whose weights are."""
    widened = {node.output[0] for node in branch.graph.node if node.op_type == "DequantizeLinear"}
    return {node.name for node in branch.graph.node if len(node.input) > 1 and node.input[1] in widened}


def test_the_inner_layers_are_in_bytes_and_the_ends_are_not(quantized: Quantized, modality: str) -> None:
    inner = set(Parts(BRANCHES[modality]()).layers)
    assert inner <= in_bytes(quantized.branch)
    assert not in_bytes(quantized.branch) & {"first", "spectrum", "last"}
    assert quantized.float_layers == ()


def test_answers_on_other_rows_are_close(quantized: Quantized, modality: str) -> None:
    rows = rows_of(modality, 50, seed=1)
    branch = BRANCHES[modality]()
    before, after = map(calibrated(modality, branch), (logits(branch, rows), logits(quantized.branch, rows)))
    assert np.ptp(before) > 0.25
    assert 0 < np.abs(after - before).mean() < MAX_CHANGE


def test_zero_rows_give_zero_answers(quantized: Quantized, modality: str) -> None:
    assert logits(quantized.branch, ROWS[modality][:0]).shape == (0,)


def test_a_row_that_is_no_number_spoils_no_other() -> None:
    branch = audio_branch()
    quantized = quantize(branch, ROWS["audio"], calibrated("audio", branch), MAX_CHANGE).branch
    spoiled = ROWS["audio"].copy()
    spoiled[3], spoiled[5] = np.nan, np.inf
    others = [number for number in range(len(spoiled)) if number not in (3, 5)]
    expected, got = (logits(quantized, rows)[others] for rows in (ROWS["audio"], spoiled))
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_weights_are_per_channel_and_take_seven_bits(quantized: Quantized) -> None:
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in quantized.branch.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    assert weights
    assert all(values.min() >= -64 and values.max() <= 64 for values in weights)
    scales = [tensor for tensor in quantized.branch.graph.initializer if tensor.name.endswith("_scale")]
    assert any(list(tensor.dims) not in ([], [1]) for tensor in scales)


def test_what_suffers_most_is_left_out() -> None:
    branch = image_branch(outlier=1e4)
    judge = calibrated("image", branch)
    quantized = quantize(branch, ROWS["image"], judge, MAX_CHANGE)
    assert quantized.float_layers
    # Both ends of the activations whose range the outlier takes, and what lies between.
    assert set(quantized.float_layers) <= {"inner_0", "relu_0", "inner_1"}
    assert {"inner_2", "inner_3"} <= in_bytes(quantized.branch)
    before, after = (judge(logits(one, ROWS["image"])) for one in (branch, quantized.branch))
    assert np.abs(after - before).mean() <= MAX_CHANGE / 2


def test_what_cannot_be_quantised_is_refused() -> None:
    def unlucky(found: NDArray[np.float32]) -> NDArray[np.float64]:
        """Turns on the last digits."""
        return np.asarray(np.modf(found.astype(np.float64) * 1e5)[0])

    with pytest.raises(InvalidModel, match="half of --max-change, with half of the layers left out too"):
        quantize(image_branch(), ROWS["image"], unlucky, MAX_CHANGE)
