"""From the logits of rows to one probability per request: calibration, aggregation, fusion.

Rows find their request through a one-hot matrix [R, N] of booleans and `Where` + `ReduceSum`.
Every execution provider has these operators, and unlike a matrix product they keep a NaN of
one request out of all others (0 * NaN is NaN).
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from exporter.nodes import Nodes
from server.engine.manifest import MODALITIES, Branch

# Stands for "no logit here" in a maximum; exp(_LOWEST - anything sane) is 0.
_LOWEST = -1e30


@dataclass(frozen=True, slots=True)
class ModalityRows:
    """The rows of one modality, by the names of their tensors.

    Attributes:
        branch: calibration and aggregation.
        logit: float32 [N].
        request: int64 [N], which request each row belongs to.
        probability: name for the output, float32 [N].
    """

    branch: Branch
    logit: str
    request: str
    probability: str


def calibrate(nodes: Nodes, branch: Branch, logit: str, output: str = "") -> str:
    """Adds sigmoid(logit / temperature + bias), any shape."""
    scaled = nodes.add("Mul", logit, nodes.constant(1.0 / branch.temperature))
    return nodes.add("Sigmoid", nodes.add("Add", scaled, nodes.constant(branch.bias)), output=output)


def fuse(nodes: Nodes, rows: dict[str, ModalityRows], weights: str) -> None:
    """Adds everything after the logits, up to the outputs of the graph.

    A modality is present in a request that has rows of it and gives it a positive weight. Each
    request's probability is the mean over its present modalities by weight, and 0 if none is.

    Args:
        nodes: where to add to.
        rows: by modality; modalities that are not in it are present in no request.
        weights: float32 [R, 3].
    """
    request_count = nodes.add("Shape", weights, end=1)
    one_column = nodes.add("Concat", request_count, nodes.constant([1], np.int64), axis=0)
    zeros = nodes.add("Expand", nodes.constant(0.0), one_column)
    probabilities, row_counts = [], []
    for modality in MODALITIES:
        if modality in rows:
            calibrate(nodes, rows[modality].branch, rows[modality].logit, rows[modality].probability)
            probability, row_count = _per_request(nodes, rows[modality], request_count)
        else:
            probability = row_count = zeros
        probabilities.append(probability)
        row_counts.append(row_count)
    probability = nodes.add("Concat", *probabilities, axis=1)
    row_count = nodes.add("Concat", *row_counts, axis=1)
    _weighted_mean(nodes, probability, row_count, weights)


def _weighted_mean(nodes: Nodes, probability: str, row_count: str, weights: str) -> None:
    """Adds the three outputs per request from the columns [R, 3]."""
    zero = nodes.constant(0.0)
    has_rows, switched_on = _positive(nodes, row_count), _positive(nodes, weights)
    present = nodes.add("And", has_rows, switched_on, output="modality_present")
    probability = nodes.add("Where", present, probability, zero, output="modality_probability")
    weight = nodes.add("Where", present, weights, zero)
    # Divided by the largest first, so that the sum of tiny weights cannot underflow.
    weight = nodes.add("Div", weight, _or_one(nodes, nodes.add("ReduceMax", weight, axes=[1], keepdims=1)))
    total = _or_one(nodes, _sum_of_columns(nodes, weight, keepdims=0))
    weighted = _sum_of_columns(nodes, nodes.add("Mul", weight, probability), keepdims=0)
    nodes.add("Div", weighted, total, output="fake_probability")


def _per_request(nodes: Nodes, rows: ModalityRows, request_count: str) -> tuple[str, str]:
    """Adds a modality's probability and row count, both [R, 1]; without rows the first is any number."""
    member = _one_hot(nodes, rows.request, request_count)
    row_count = _sum_of_columns(nodes, nodes.add("Cast", member, to=TensorProto.FLOAT))
    match rows.branch.aggregation:
        case "mean":
            logit = _mean_where(nodes, member, rows.logit, row_count)
        case "log_mean_exp":
            logit = _log_mean_exp(nodes, member, rows, row_count)
    return calibrate(nodes, rows.branch, logit), row_count


def _log_mean_exp(nodes: Nodes, member: str, rows: ModalityRows, row_count: str) -> str:
    """Adds log(mean(exp(sharpness * logit))) / sharpness, shifted by each request's largest term."""
    sharpness = nodes.constant(rows.branch.sharpness)
    lowest = nodes.constant([[_LOWEST]])
    terms = nodes.add("Where", member, nodes.add("Mul", rows.logit, sharpness), lowest)
    # One more column, because a maximum over zero rows is an error.
    padding = nodes.add("Expand", lowest, nodes.add("Shape", row_count))
    largest = nodes.add("ReduceMax", nodes.add("Concat", terms, padding, axis=1), axes=[1], keepdims=1)
    powers = nodes.add("Exp", nodes.add("Sub", terms, largest))
    mean = _mean_where(nodes, member, powers, row_count)
    return nodes.add("Div", nodes.add("Add", nodes.add("Log", mean), largest), sharpness)


def _one_hot(nodes: Nodes, request: str, request_count: str) -> str:
    """Adds the bool matrix [R, N] that says whose row is whose."""
    start, step = nodes.constant(0, np.int64), nodes.constant(1, np.int64)
    count = nodes.add("Squeeze", request_count)
    requests = nodes.add("Range", start, count, step)
    return nodes.add("Equal", nodes.add("Unsqueeze", requests, nodes.constant([1], np.int64)), request)


def _mean_where(nodes: Nodes, member: str, values: str, row_count: str) -> str:
    """Adds each request's mean [R, 1] of its values; 0 without rows."""
    total = _sum_of_columns(nodes, nodes.add("Where", member, values, nodes.constant(0.0)))
    return nodes.add("Div", total, nodes.add("Max", row_count, nodes.constant(1.0)))


def _sum_of_columns(nodes: Nodes, matrix: str, keepdims: int = 1) -> str:
    return nodes.add("ReduceSum", matrix, nodes.constant([1], np.int64), keepdims=keepdims)


def _positive(nodes: Nodes, value: str) -> str:
    return nodes.add("Greater", value, nodes.constant(0.0))


def _or_one(nodes: Nodes, value: str) -> str:
    """Adds the value itself where it is positive, else 1: a divisor that is never 0."""
    return nodes.add("Where", _positive(nodes, value), value, nodes.constant(1.0))
