from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from scipy.special import expit, logit

from exporter.parity import TOLERANCE, measure_parity
from exporter.samples import ROWS, collect_samples
from server.engine.manifest import Manifest
from server.errors import InvalidModel, ModelNotFound
from tests.media import photo_jpeg, speech_wav, video_mp4
from tests.tiny_graph import LOGIT_RANGE


def image(rows: Any, training: bool = False) -> dict[str, Any]:
    """What the tiny detector's image branch computes; so are the next two."""
    logits = (rows.astype(np.float64) / 255 * 2 - 1) * LOGIT_RANGE
    count, height, width, _ = rows.shape
    heatmap = logits.reshape(count, 4, height // 4, 4, width // 4, 3).mean((2, 4, 5))
    return {"logit": heatmap.mean((1, 2)), "heatmap": heatmap}


def video(rows: Any, training: bool = False) -> dict[str, Any]:
    return {"logit": ((rows.astype(np.float64) / 255 * 2 - 1) * LOGIT_RANGE).mean((1, 2, 3, 4))}


def audio(rows: Any, training: bool = False) -> dict[str, Any]:
    return {"logit": rows.mean(1) * LOGIT_RANGE}


MODELS = {"image": image, "video": video, "audio": audio}


@pytest.fixture(scope="module")
def detector(graph: Path) -> bytes:
    return graph.read_bytes()


def test_every_modality_is_compared_on_all_samples(detector: bytes, manifest: Manifest) -> None:
    parity = measure_parity(detector, manifest, MODELS, collect_samples(manifest, None))
    assert {modality: set(differences) for modality, differences in parity.items()} == {
        "image": {"random", "random heatmap", "generated", "generated heatmap"},
        "video": {"random", "generated"},
        "audio": {"random", "generated"},
    }
    assert all(0 <= value < 1e-6 for differences in parity.values() for value in differences.values())


@pytest.mark.parametrize("modality", MODELS)
@pytest.mark.parametrize("error", [10 * TOLERANCE, float("nan")])
def test_a_wrong_branch_is_found(detector: bytes, manifest: Manifest, modality: str, error: float) -> None:
    def wrong(rows: Any, training: bool = False) -> dict[str, Any]:
        outputs = MODELS[modality](rows)
        # Only the last row, and the probability moves a quarter of the logit at most.
        return outputs | {"logit": outputs["logit"] + error * 8 * (np.arange(len(rows)) == len(rows) - 1)}

    with pytest.raises(InvalidModel, match=f"{modality} branch differs"):
        measure_parity(detector, manifest, MODELS | {modality: wrong}, collect_samples(manifest, None))


def test_a_wrong_heatmap_is_found(detector: bytes, manifest: Manifest) -> None:
    def turned(rows: Any, training: bool = False) -> dict[str, Any]:
        outputs = image(rows)
        return outputs | {"heatmap": outputs["heatmap"].transpose(0, 2, 1)}

    with pytest.raises(InvalidModel, match=r"image branch differs.*heatmap"):
        measure_parity(detector, manifest, MODELS | {"image": turned}, collect_samples(manifest, None))


@pytest.mark.parametrize("modality", MODELS)
def test_single_cells_may_differ_ten_times_as_much(
    detector: bytes, manifest: Manifest, modality: str
) -> None:
    """An error of 5 tolerances, in probability, passes in the heatmap alone; one of 20 nowhere."""

    def measure(output: str, tolerances: float) -> None:
        def wrong(rows: Any, training: bool = False) -> dict[str, Any]:
            outputs = MODELS[modality](rows)
            off = expit(outputs[output]) - tolerances * TOLERANCE * np.sign(outputs[output])
            return outputs | {output: logit(off)}

        measure_parity(detector, manifest, MODELS | {modality: wrong}, collect_samples(manifest, None))

    with pytest.raises(InvalidModel, match=f"{modality} branch differs"):
        measure("logit", 5)
    if modality == "image":
        measure("heatmap", 5)
        with pytest.raises(InvalidModel, match="heatmap"):
            measure("heatmap", 20)


@pytest.mark.parametrize(("output", "operator"), [("modality_present", "Or"), ("fake_probability", "Sub")])
def test_a_graph_that_finds_something_in_nothing_is_refused(
    detector: bytes, manifest: Manifest, output: str, operator: str
) -> None:
    graph = onnx.load_from_string(detector)
    (node,) = (node for node in graph.graph.node if output in node.output)
    node.op_type = operator
    with pytest.raises(InvalidModel, match="finds something where there is nothing"):
        measure_parity(graph.SerializeToString(), manifest, MODELS, collect_samples(manifest, None))


def test_a_graph_that_fails_on_zero_rows_is_found(detector: bytes, manifest: Manifest) -> None:
    graph = onnx.load_from_string(detector)
    cast = next(node for node in graph.graph.node if node.input[0] == "image/rows")
    size = onnx.numpy_helper.from_array(np.array([ROWS, 32, 32, 3], np.int64), "fixed_shape")
    graph.graph.initializer.append(size)
    reshape = onnx.helper.make_node("Reshape", ["image/rows", "fixed_shape"], ["image/fixed"])
    graph.graph.node.insert(list(graph.graph.node).index(cast), reshape)
    cast.input[0] = "image/fixed"
    with pytest.raises(InvalidModel, match="cannot run"):
        measure_parity(graph.SerializeToString(), manifest, MODELS, collect_samples(manifest, None))


def test_a_folder_of_media_is_decoded(detector: bytes, manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "photo.jpg").write_bytes(photo_jpeg(64, 48))
    (tmp_path / "clip.mp4").write_bytes(video_mp4())
    (tmp_path / "voice.wav").write_bytes(speech_wav())
    (tmp_path / "notes.txt").write_text("not a medium")
    random, media = collect_samples(manifest, tmp_path)
    assert (random.name, media.name) == ("random", "media")
    assert media.rows["image"].shape[1:] == (32, 32, 3)
    assert media.rows["video"].shape[1:] == (5, 32, 32, 3)
    assert media.rows["audio"].shape[1:] == (1600,)
    parity = measure_parity(detector, manifest, MODELS, [media])
    assert set(parity) == set(MODELS)


def test_a_folder_without_media_is_named(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a medium")
    with pytest.raises(ModelNotFound, match=tmp_path.name):
        collect_samples(manifest, tmp_path)
