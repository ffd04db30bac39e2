"""Is the finished detector still the Keras models? Asked of ONNX Runtime with its default settings.

Default settings on purpose: they are what the server uses, and it was one of the default
optimisations, not the conversion, that changed ResNet50V2's answers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy.special import expit

from exporter.errors import REPORT
from exporter.graph import OUTPUTS
from exporter.samples import Samples
from server.engine.batch import Rows, Tensors, assemble, empty_rows
from server.engine.manifest import Branch, Manifest
from server.errors import InvalidModel

TOLERANCE = 1e-4
"""Largest absolute difference in probability that is accepted."""
HEATMAP_FACTOR = 10
"""Times that in single cells of a heatmap, whose rounding errors no average evens out."""

KerasModel = Callable[..., Mapping[str, Any]]
Parity = dict[str, dict[str, float]]


def measure_parity(
    detector: bytes,
    manifest: Manifest,
    models: Mapping[str, KerasModel],
    samples: Sequence[Samples],
    tolerance: float = TOLERANCE,
) -> Parity:
    """Compares the graph with the Keras models, row by row.

    Every modality is run alone, so that zero rows of all others are tried as well.

    Args:
        detector: the serialized graph.
        manifest: its manifest.
        models: Keras models by modality; called with rows, each gives a dict of logits.
        samples: what to compare on.
        tolerance: accepted difference; ten times as much in single cells of a heatmap.

    Returns:
        the largest absolute difference by modality and then by samples: in probability under
        their name, in heatmap cells under their name with " heatmap" behind it.

    Raises:
        InvalidModel: a difference is above its tolerance or not a number, or the graph
            fails on some input.
    """
    session = open_graph(detector)
    _check_nothing_present(session, manifest)
    parity: Parity = {modality: {} for modality in manifest.modalities}
    for modality, differences in parity.items():
        for sample in samples:
            if modality in sample.rows:
                differences |= _differences(session, manifest, modality, models[modality], sample)
    _check_tolerance(parity, tolerance)
    return parity


def feed(manifest: Manifest, rows: Mapping[str, NDArray[Any]]) -> Tensors:
    """The graph's inputs for one request that has these rows, and zero rows of all other modalities."""
    empty = empty_rows(manifest)
    images, clips = rows.get("image", empty.frames), rows.get("video", empty.frames[empty.clip_index])
    frames = np.concatenate([images, clips.reshape(-1, *images.shape[1:])])
    clip_index = np.arange(len(images), len(frames)).reshape(clips.shape[:2])
    audio = rows.get("audio", empty.audio)
    whole = Rows(frames, np.arange(len(images)), clip_index, audio, np.ones(3, np.float32))
    return assemble([whole], manifest)


def _differences(
    session: onnxruntime.InferenceSession,
    manifest: Manifest,
    modality: str,
    model: KerasModel,
    sample: Samples,
) -> dict[str, float]:
    rows = sample.rows[modality]
    expected = model(rows, training=False)
    names = OUTPUTS[modality]
    answers = run_graph(session, list(names.values()), feed(manifest, {modality: rows}))
    return {
        sample.name if name == "logit" else f"{sample.name} {name}": float(
            np.abs(answer - probability(getattr(manifest, modality), np.asarray(expected[name]))).max()
        )
        for name, answer in zip(names, answers, strict=True)
    }


def probability(branch: Branch, logit: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the detector's calibration makes of logits of any shape."""
    return np.asarray(expit(logit.astype(np.float64) / branch.temperature + branch.bias))


def open_graph(
    detector: bytes, options: onnxruntime.SessionOptions | None = None
) -> onnxruntime.InferenceSession:
    """A session on the CPU. Raises InvalidModel if ONNX Runtime refuses the graph."""
    try:
        return onnxruntime.InferenceSession(detector, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ORT's errors have no common base
        raise InvalidModel(f"ONNX Runtime cannot load the exported graph: {error}") from error


def run_graph(
    session: onnxruntime.InferenceSession, names: list[str], inputs: Tensors
) -> list[NDArray[np.float32]]:
    """The outputs of these names. Raises InvalidModel if the graph fails."""
    try:
        answers: list[NDArray[np.float32]] = session.run(names, inputs)
    except Exception as error:
        raise InvalidModel(f"ONNX Runtime cannot run the exported graph: {error}") from error
    return answers


def _check_nothing_present(session: onnxruntime.InferenceSession, manifest: Manifest) -> None:
    probability, present = run_graph(session, ["fake_probability", "modality_present"], feed(manifest, {}))
    if probability.tolist() != [0] or present.any():
        raise InvalidModel("the exported graph finds something where there is nothing")


def _check_tolerance(parity: Parity, tolerance: float) -> None:
    for modality, differences in parity.items():
        for compared, difference in differences.items():
            allowed = HEATMAP_FACTOR * tolerance if compared.endswith("heatmap") else tolerance
            # Written so that NaN fails.
            if not difference <= allowed:
                raise InvalidModel(
                    f"the exported {modality} branch differs from Keras by {difference:.2g} in "
                    f"probability ({compared}); {allowed:.0e} is allowed",
                    REPORT,
                )
