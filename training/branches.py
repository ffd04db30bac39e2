"""What a Keras model must be to become a branch of a detector, and what it says of that branch itself.

Its training record says the rest.
"""

from typing import Any

import keras

from server.engine.manifest import AudioBranch, Branch, ImageBranch, VideoBranch
from training.settings import Modality

BRANCHES: dict[Modality, type[Branch]] = {"image": ImageBranch, "video": VideoBranch, "audio": AudioBranch}

_INPUT: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "image": ("uint8", ("height", "width", 3)),
    "video": ("uint8", ("frames", "height", "width", 3)),
    "audio": ("float32", ("samples",)),
}
_OUTPUT_RANKS = {"image": {"logit": 1, "heatmap": 3}, "video": {"logit": 1}, "audio": {"logit": 1}}


def check_model(modality: str, model: Any) -> None:
    """Whether a loaded model has one input and the outputs of its modality, their sizes fixed.

    Raises:
        ValueError: it is something else.
    """
    dtype, axes = _INPUT[modality]
    inputs = getattr(model, "inputs", None) or []
    if [value.dtype for value in inputs] != [dtype] or not _has_axes(inputs[0].shape[1:], axes):
        found = ", ".join(f"{value.dtype} {list(value.shape)}" for value in inputs) or "none"
        raise ValueError(f"input must be {dtype} [batch, {', '.join(map(str, axes))}], but is {found}")
    # A Sequential that was only loaded raises AttributeError here.
    output = getattr(model, "output", None)
    outputs = output if isinstance(output, dict) else {}
    for name, rank in _OUTPUT_RANKS[modality].items():
        if name not in outputs:
            raise ValueError(f"has no output {name!r}, but {', '.join(outputs) or 'unnamed outputs only'}")
        if len(outputs[name].shape) != rank or None in outputs[name].shape[1:]:
            raise ValueError(f"output {name!r} has the wrong shape {list(outputs[name].shape)}")


def _has_axes(sizes: tuple[int | None, ...], axes: tuple[str | int, ...]) -> bool:
    """Whether each size is that of its axis, or fixed where the axis has a name."""
    if len(sizes) != len(axes):
        return False
    return all(
        size == axis if isinstance(axis, int) else size for size, axis in zip(sizes, axes, strict=True)
    )


def sizes_of(modality: Modality, model: keras.Model) -> dict[str, int]:
    """The fields of BRANCHES[modality] that follow from the model's inputs and outputs."""
    match modality:
        case "image":
            rows, columns = model.output["heatmap"].shape[1:]
            return {"heatmap_height": rows, "heatmap_width": columns}
        case "video":
            return {"clip_length": model.inputs[0].shape[1]}
        case "audio":
            return {"window_samples": model.inputs[0].shape[1]}
