"""Golden numbers of the whole graph on the detector that other tests stand on."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy.special import expit

from server.engine.session import manifest_of
from tests.tiny_graph import LOGIT_RANGE, tiny_detector

WEIGHTS = np.array([[0.4, 0.4, 0.2]], np.float32)


def test_one_batch_mixes_modalities_with_golden_answers(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(tiny_detector(tmp_path))
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    frames[1] = 255
    frames[2, :, 16:] = 255
    feed = {
        "frames": frames,
        "image_index": np.array([2, 1], np.int64),
        "image_request": np.array([1, 0], np.int64),
        "clip_index": np.array([[0, 0, 0, 0, 1]], np.int64),
        "clip_request": np.array([2], np.int64),
        "audio": np.full((1, 1600), 0.5, np.float32),
        "audio_request": np.array([2], np.int64),
        "weights": np.repeat(WEIGHTS, 4, axis=0),
    }
    answers = dict(
        zip([output.name for output in session.get_outputs()], session.run(None, feed), strict=True)
    )
    white, clip, sound = expit(LOGIT_RANGE), expit(-0.6 * LOGIT_RANGE), expit(0.5 * LOGIT_RANGE)
    both = (0.4 * clip + 0.2 * sound) / 0.6
    np.testing.assert_allclose(answers["fake_probability"], [white, 0.5, both, 0], atol=1e-6)
    np.testing.assert_allclose(answers["image_probability"], [0.5, white], atol=1e-6)
    np.testing.assert_allclose(answers["clip_probability"], [clip], atol=1e-6)
    np.testing.assert_allclose(answers["audio_probability"], [sound], atol=1e-6)
    assert answers["modality_present"].tolist() == [
        [True, False, False],
        [True, False, False],
        [False, True, True],
        [False, False, False],
    ]
    black = expit(-LOGIT_RANGE)
    np.testing.assert_allclose(answers["image_heatmap"][0], [[black, black, white, white]] * 4, atol=1e-6)


@pytest.mark.parametrize(
    ("modalities", "inputs", "outputs"),
    [
        (("image",), {"frames", "image_index", "image_request"}, {"image_probability", "image_heatmap"}),
        (("video",), {"frames", "clip_index", "clip_request"}, {"clip_probability"}),
        (("audio",), {"audio", "audio_request"}, {"audio_probability"}),
        (
            ("image", "audio"),
            {"frames", "image_index", "image_request", "audio", "audio_request"},
            {"image_probability", "image_heatmap", "audio_probability"},
        ),
    ],
)
def test_a_missing_branch_takes_its_inputs_and_outputs_with_it(
    tmp_path: Path, modalities: tuple[str, ...], inputs: set[str], outputs: set[str]
) -> None:
    session = onnxruntime.InferenceSession(tiny_detector(tmp_path, modalities))
    assert {value.name for value in session.get_inputs()} == inputs | {"weights"}
    always = {"fake_probability", "modality_probability", "modality_present"}
    assert {value.name for value in session.get_outputs()} == outputs | always


def test_the_manifest_travels_in_the_file(tmp_path: Path) -> None:
    path = tiny_detector(tmp_path, ("video",), clip_length=3)
    assert path == tmp_path / "tiny" / "1" / "model.onnx"
    manifest = manifest_of(onnxruntime.InferenceSession(path), path)
    assert manifest.modalities == ("video",)
    assert manifest.video is not None
    assert manifest.video.clip_length == 3
