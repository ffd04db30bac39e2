"""The image and the video model: shapes, what they answer to, saving, freezing."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from training.errors import DataError
from training.models.backbone import set_backbone_trainable
from training.models.image import build_image_model
from training.models.video import build_video_model
from training.settings import Backbone

SIZE = 64


def pictures(count: int = 2, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def clips(count: int = 2, length: int = 5) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, length, SIZE, SIZE, 3), np.uint8)


@pytest.mark.parametrize("backbone", ["efficientnetb0", "resnet50v2"])
def test_the_logit_is_the_average_of_the_heatmap(backbone: Backbone) -> None:
    model = build_image_model(backbone, SIZE, SIZE, "none")
    out = model(pictures())
    assert model.input.dtype == "uint8"
    assert out["logit"].shape == (2,)
    np.testing.assert_allclose(np.mean(out["heatmap"], axis=(1, 2)), out["logit"], atol=1e-5)


@pytest.mark.parametrize("side", [64, 99])
def test_a_few_cells_decide_the_tiny_model(side: int) -> None:
    model = build_image_model("tiny", side, side, "none")
    out = model(np.resize(pictures(), (2, side, side, 3)))
    cells = np.asarray(out["heatmap"]).reshape(2, -1)
    assert cells.shape[1] == (-(-side // 16)) ** 2
    np.testing.assert_allclose(np.log(np.exp(cells).mean(axis=1)), out["logit"], atol=1e-5)


@pytest.mark.parametrize("backbone", ["tiny", "efficientnetb0", "resnet50v2"])
def test_a_clip_gives_one_logit_that_depends_on_the_order_of_its_frames(backbone: Backbone) -> None:
    model = build_video_model(backbone, 5, SIZE, SIZE, "none")
    logit = np.asarray(model(clips())["logit"])
    shuffled = np.asarray(model(clips()[:, [2, 0, 4, 1, 3]])["logit"])
    assert logit.shape == (2,)
    assert np.abs(logit - shuffled).max() > 1e-7


@pytest.mark.parametrize(
    ("build", "rows"),
    [
        (lambda: build_image_model("tiny", SIZE, SIZE, "none"), pictures()),
        (lambda: build_video_model("tiny", 5, SIZE, SIZE, "none"), clips()),
    ],
    ids=["image", "video"],
)
def test_saved_models_load_and_are_small(
    build: Callable[[], keras.Model], rows: NDArray[np.uint8], tmp_path: Path
) -> None:
    model = build()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model(rows)["logit"], loaded(rows)["logit"])
    assert model.count_params() < 500_000


def test_freezing_touches_the_backbone_only() -> None:
    model = build_image_model("efficientnetb0", SIZE, SIZE, "none")
    everything = len(model.trainable_weights)
    set_backbone_trainable(model, False)
    assert 0 < len(model.trainable_weights) < 5
    set_backbone_trainable(model, True)
    assert len(model.trainable_weights) == everything


def test_a_backbone_with_weights_keeps_its_statistics_in_training(tmp_path: Path) -> None:
    kept = []
    weights = tmp_path / "backbone.weights.h5"
    keras.applications.EfficientNetB0(False, None, input_shape=(32, 32, 3)).save_weights(weights)
    for source in ("none", str(weights)):
        model = build_image_model("efficientnetb0", 32, 32, source)
        (backbone,) = (layer for layer in model.layers if layer.name == "backbone")
        before = [np.asarray(value) for value in backbone.non_trainable_weights]
        model(pictures()[:, :32, :32], training=True)
        after = [np.asarray(value) for value in backbone.non_trainable_weights]
        kept.append(all(map(np.array_equal, before, after)))
        assert backbone.trainable_weights
    assert kept == [False, True]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        model(pictures()[:, :32, :32])["logit"], loaded(pictures()[:, :32, :32])["logit"]
    )


@pytest.mark.parametrize(
    ("mean", "variance", "deviation"),
    [
        ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], [0.229, 0.224, 0.225]),
        ([0.485, 0.456, 0.406], [0.229**2, 0.224**2, 0.225**2], [0.229, 0.224, 0.225]),
        ([0.0] * 3, [1.0] * 3, [1.0] * 3),
    ],
    ids=["published", "mended already", "own"],
)
def test_weights_in_a_file_get_the_pixels_that_they_learned(
    tmp_path: Path, mean: list[float], variance: list[float], deviation: list[float]
) -> None:
    """Published ones have deviations for variances. Keras makes up for that where it downloads them."""
    body = keras.applications.EfficientNetB0(False, None, input_shape=(32, 32, 3))
    _normalization(body).set_weights([np.array(mean), np.array(variance), np.array(0)])
    body.save_weights(tmp_path / "backbone.weights.h5")
    model = build_image_model("efficientnetb0", 32, 32, str(tmp_path / "backbone.weights.h5"))
    model.save(tmp_path / "model.keras")
    pixels = pictures()[:, :32, :32] / 255
    for found in (model, keras.saving.load_model(tmp_path / "model.keras")):
        scaled = _normalization(found.get_layer("backbone"))(pixels)
        np.testing.assert_allclose(scaled, (pixels - mean) / deviation, atol=1e-5)


def _normalization(body: keras.Model) -> keras.layers.Normalization:
    (found,) = (layer for layer in body.layers if isinstance(layer, keras.layers.Normalization))
    return found


def test_pixels_are_scaled_as_the_backbone_learned_them() -> None:
    model = build_image_model("resnet50v2", 32, 32, "none")
    (scaling,) = (layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling))
    pixels = pictures()[:, :32, :32]
    expected = keras.applications.resnet_v2.preprocess_input(pixels.astype(np.float32))
    np.testing.assert_allclose(scaling(pixels), expected, atol=1e-6)


def test_tiny_models_have_nothing_to_freeze() -> None:
    model = build_image_model("tiny", SIZE, SIZE, "none")
    set_backbone_trainable(model, False)
    assert model.trainable_weights


def test_too_short_a_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="3 frames"):
        build_video_model("tiny", 2, SIZE, SIZE, "none")


@pytest.mark.parametrize(
    ("backbone", "file"),
    [("efficientnetb0", "efficientnetb0_notop.h5"), ("resnet50v2", "resnet50v2_weights_tf_dim_ordering")],
)
def test_the_weights_that_keras_has_for_a_backbone_are_asked_for(
    backbone: Backbone, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def no_network(name: str, *_: object, **__: object) -> None:
        asked.append(name)
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", no_network)
    expected = f"no weights imagenet for {backbone}: URL fetch failure; give --weights none"
    with pytest.raises(DataError, match=expected):
        build_image_model(backbone, 64, 64, weights="imagenet")
    assert asked[0].startswith(file)


def test_weights_that_are_not_there_are_named() -> None:
    with pytest.raises(DataError, match=r"no weights /nowhere\.weights\.h5"):
        build_image_model("efficientnetb0", 64, 64, weights="/nowhere.weights.h5")
