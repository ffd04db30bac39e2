"""Does a graph keep the promises of its manifest? Asked before it answers anybody."""

import numpy as np
from numpy.typing import NDArray

from server.engine.batch import Rows, Scores, empty_rows
from server.engine.manifest import MODALITIES, Manifest
from server.engine.session import Session
from server.errors import InvalidModel

_ROWS = 2
_SEED = 20240501
# A batch may be rounded otherwise than a row alone; a mix-up with another request's rows is far larger.
_TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2, "int8": 1e-2}


def self_test(session: Session) -> None:
    """Runs the graph on the same made-up rows every time: each modality alone, then all in one batch.

    Raises:
        InvalidModel: an answer has the wrong shape, is no probability, changes with the rest of the
            batch, or finds something where there is nothing; or the graph cannot be run.
    """
    manifest = session.manifest
    requests = {name: _fixed_rows(manifest, {name}) for name in manifest.modalities}
    requests["all"] = _fixed_rows(manifest, set(manifest.modalities))
    requests["nothing"] = empty_rows(manifest)
    try:
        alone = [session.run([rows])[0] for rows in requests.values()]
        together = session.run(list(requests.values()))
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise InvalidModel(f"self-test: the graph cannot be run: {error}") from error
    for (name, rows), one, batched in zip(requests.items(), alone, together, strict=True):
        try:
            _check(manifest, rows, one)
            _check(manifest, rows, batched)
            _check_equal(manifest, one, batched)
        except ValueError as error:
            raise InvalidModel(f"self-test of rows of {name}: {error}") from error


def _fixed_rows(manifest: Manifest, modalities: set[str]) -> Rows:
    random = np.random.default_rng(_SEED)
    images, clips, windows = (_ROWS if name in modalities else 0 for name in MODALITIES)
    empty = empty_rows(manifest)
    frames = max(images, empty.clip_index.shape[1] if clips else 0)
    return Rows(
        random.integers(0, 256, (frames, *empty.frames.shape[1:]), np.uint8),
        np.arange(images),
        np.tile(np.arange(empty.clip_index.shape[1]), (clips, 1)),
        random.uniform(-1, 1, (windows, empty.audio.shape[1])).astype(np.float32),
        np.ones(3, np.float32),
    )


def _check(manifest: Manifest, rows: Rows, scores: Scores) -> None:
    images, clips, windows = rows.counts
    image = manifest.image
    heatmap = (image.heatmap_height, image.heatmap_width) if image else ()
    _check_probabilities("image_probability", scores.image_probability, (images,))
    _check_probabilities("clip_probability", scores.clip_probability, (clips,))
    _check_probabilities("audio_probability", scores.audio_probability, (windows,))
    _check_probabilities("modality_probability", scores.modality_probability, (3,))
    if images:
        _check_probabilities("image_heatmap", scores.image_heatmap, (images, *heatmap))
    present = [count > 0 for count in rows.counts]
    if scores.modality_present.tolist() != present:
        raise ValueError(f"modality_present is {scores.modality_present.tolist()} and not {present}")
    # The weights of self-test rows are equal.
    judged = scores.modality_probability[present]
    fused = float(judged.mean()) if any(present) else 0.0
    if not abs(scores.fake_probability - fused) <= _TOLERANCE[manifest.precision]:
        raise ValueError(f"fake_probability is {scores.fake_probability} and not {fused}")


def _check_probabilities(name: str, values: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape} and not {shape}")
    # Written so that NaN fails.
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{name} holds values that are no probabilities")


def _check_equal(manifest: Manifest, alone: Scores, batched: Scores) -> None:
    tolerance = _TOLERANCE[manifest.precision]
    if not np.allclose(alone.modality_probability, batched.modality_probability, atol=tolerance):
        raise ValueError("scores change with the rest of the batch")
