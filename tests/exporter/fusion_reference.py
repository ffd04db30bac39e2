"""What the graph must compute after its logits, in plain numpy float64, one request at a time."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from server.engine.manifest import MODALITIES, Branch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    branch: Branch
    logit: Floats
    request: NDArray[np.int64]


@dataclass(frozen=True)
class Fused:
    fake_probability: Floats
    modality_probability: Floats
    modality_present: NDArray[np.bool_]


def calibrate(branch: Branch, logit: Floats) -> Floats:
    return np.asarray(expit(logit / branch.temperature + branch.bias))


def aggregate(branch: Branch, logits: Floats) -> np.float64:
    if branch.aggregation == "mean":
        return np.float64(np.mean(logits))
    terms = branch.sharpness * logits
    return np.float64((np.log(np.mean(np.exp(terms - terms.max()))) + terms.max()) / branch.sharpness)


def fuse(rows: Mapping[str, Rows], weights: Floats) -> Fused:
    fused = Fused(np.zeros(len(weights)), np.zeros((len(weights), 3)), np.zeros((len(weights), 3), bool))
    for request in range(len(weights)):
        for column, modality in enumerate(MODALITIES):
            own = rows[modality].logit[rows[modality].request == request] if modality in rows else []
            if len(own) and weights[request, column] > 0:
                branch = rows[modality].branch
                logit = np.asarray(aggregate(branch, np.asarray(own)))
                fused.modality_probability[request, column] = calibrate(branch, logit)
                fused.modality_present[request, column] = True
        weight = np.where(fused.modality_present[request], weights[request], 0)
        if weight.sum() > 0:
            probability = fused.modality_probability[request]
            fused.fake_probability[request] = (weight * probability).sum() / weight.sum()
    return fused


def assert_same(got: Fused, expected: Fused) -> None:
    """But for the rounding of float32."""
    np.testing.assert_array_equal(got.modality_present, expected.modality_present)
    np.testing.assert_allclose(got.modality_probability, expected.modality_probability, atol=1e-5)
    np.testing.assert_allclose(got.fake_probability, expected.fake_probability, atol=1e-5)
