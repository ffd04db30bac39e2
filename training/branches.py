"""What a model itself says of its branch in a detector's manifest; its training record says the rest."""

import keras

from server.engine.manifest import AudioBranch, Branch, ImageBranch, VideoBranch
from training.settings import Modality

BRANCHES: dict[Modality, type[Branch]] = {"image": ImageBranch, "video": VideoBranch, "audio": AudioBranch}


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
