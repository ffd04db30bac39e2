"""A detector whose answers can be worked out by hand, written in milliseconds without TensorFlow.

Every logit is the mean of the row: of its pixels, scaled from [0, 255] to [-LOGIT_RANGE, LOGIT_RANGE],
or of its samples times LOGIT_RANGE. All branches use temperature 1 and the mean over rows.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from exporter.graph import build_detector, write_manifest
from exporter.nodes import Nodes
from server.engine.manifest import (
    AudioBranch,
    ImageBranch,
    Manifest,
    Precision,
    Trade,
    VideoBranch,
    parse_manifest,
)
from server.engine.repository import graph_file
from server.media.spec import spec_hash
from tests.graphs import Shape, row_graph

LOGIT_RANGE = 4.0
SIZE, HEATMAP_SIZE = 32, 4
WINDOW_SAMPLES = 1600
NAME, VERSION = "tiny", "1"


def tiny_detector(
    path: Path,
    modalities: Sequence[str] = ("image", "video", "audio"),
    clip_length: int = 5,
    version: str = VERSION,
    bias: float = 0.0,
) -> Path:
    """Writes `path/NAME/<version>/model.onnx`, a full detector, and gives that file's path.

    Args:
        path: the model repository.
        modalities: which branches it has.
        clip_length: frames of a clip.
        bias: added to every logit, so that two detectors answer differently.
    """
    manifest = Manifest(
        name=NAME,
        version=version,
        created=datetime(2024, 1, 1, tzinfo=UTC),
        spec_hash=spec_hash(),
        height=SIZE,
        width=SIZE,
        image=ImageBranch(bias=bias, heatmap_height=HEATMAP_SIZE, heatmap_width=HEATMAP_SIZE)
        if "image" in modalities
        else None,
        video=VideoBranch(bias=bias, clip_length=clip_length) if "video" in modalities else None,
        audio=AudioBranch(bias=bias, window_samples=WINDOW_SAMPLES) if "audio" in modalities else None,
    )
    branches = {
        "image": image_branch(),
        "video": video_branch(clip_length),
        "audio": audio_branch(),
    }
    file = path / NAME / version / "model.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(build_detector(manifest, {key: branches[key] for key in manifest.modalities}), file)
    return file


def put_version(
    folder: Path, version: str, bias: float = 0.0, modalities: Sequence[str] = ("image", "video", "audio")
) -> Path:
    """A version of the tiny detector that appears whole in the repository `folder`; gives its file."""
    written = tiny_detector(folder.parent / "staging", modalities, version=version, bias=bias)
    target = folder / NAME / version / "model.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    return written.rename(target)


def put_precision(graph: Path, precision: Precision, trade: Trade | None = None) -> Path:
    """The tiny detector that says it is `graph`'s in another precision, beside it; gives its file."""
    written = tiny_detector(graph.parents[3] / "other", version=graph.parent.name)
    detector = onnx.load(written)
    manifest = parse_manifest(detector.metadata_props[0].value, str(written))
    write_manifest(detector, manifest.model_copy(update={"precision": precision, "trade": trade}))
    onnx.save(detector, written)
    return written.rename(graph_file(graph, precision))


def image_branch() -> onnx.ModelProto:
    """The heatmap is the mean of each cell, the logit the mean of the heatmap."""
    nodes = Nodes("")
    grid = [0, HEATMAP_SIZE, SIZE // HEATMAP_SIZE, HEATMAP_SIZE, SIZE // HEATMAP_SIZE * 3]
    cells = nodes.add("Reshape", _pixel_logits(nodes), nodes.constant(grid, np.int64))
    nodes.add("ReduceMean", cells, output="heatmap", axes=[2, 4], keepdims=0)
    nodes.add("ReduceMean", "heatmap", output="logit", axes=[1, 2], keepdims=0)
    heatmap: Shape = ["N", HEATMAP_SIZE, HEATMAP_SIZE]
    return row_graph(nodes, TensorProto.UINT8, [SIZE, SIZE, 3], {"logit": ["N"], "heatmap": heatmap})


def video_branch(clip_length: int) -> onnx.ModelProto:
    """The logit is the mean over all frames of the clip."""
    nodes = Nodes("")
    nodes.add("ReduceMean", _pixel_logits(nodes), output="logit", axes=[1, 2, 3, 4], keepdims=0)
    return row_graph(nodes, TensorProto.UINT8, [clip_length, SIZE, SIZE, 3], {"logit": ["N"]})


def audio_branch() -> onnx.ModelProto:
    """The logit is the mean of the samples, scaled."""
    nodes = Nodes("")
    mean = nodes.add("ReduceMean", "rows", axes=[1], keepdims=0)
    nodes.add("Mul", mean, nodes.constant(LOGIT_RANGE), output="logit")
    return row_graph(nodes, TensorProto.FLOAT, [WINDOW_SAMPLES], {"logit": ["N"]})


def _pixel_logits(nodes: Nodes) -> str:
    pixels = nodes.add("Cast", "rows", to=TensorProto.FLOAT)
    scaled = nodes.add("Mul", pixels, nodes.constant(2 * LOGIT_RANGE / 255))
    return nodes.add("Sub", scaled, nodes.constant(LOGIT_RANGE))
