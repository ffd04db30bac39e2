import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from exporter.keras_to_onnx import convert, load_model
from exporter.rewrite import attributes
from server.errors import InvalidModel
from tests.exporter import keras_models
from tests.graphs import run
from training.devices import precision


class Unregistered(layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x


def model(shape: tuple[int | None, ...], dtype: str, head: Callable[[Any], Any]) -> keras.Model:
    rows = keras.Input(shape, dtype=dtype)
    return keras.Model(rows, head(rows))


def pooled(x: Any) -> Any:
    return keras.ops.mean(keras.ops.cast(x, "float32"), axis=(1, 2, 3))


def flat(x: Any) -> Any:
    return keras.ops.mean(x, axis=1)


FOREIGN: dict[str, tuple[str, Callable[[], keras.Model], str]] = {
    "float pixels": ("image", lambda: model((8, 8, 3), "float32", lambda x: {"logit": pooled(x)}), "uint8"),
    "grey pixels": ("image", lambda: model((8, 8, 1), "uint8", lambda x: {"logit": pooled(x)}), "uint8"),
    "any size": ("image", lambda: model((None, None, 3), "uint8", lambda x: {"logit": pooled(x)}), "None"),
    "an image model": ("video", keras_models.image_model, "frames"),
    "no heatmap": ("image", lambda: model((8, 8, 3), "uint8", lambda x: {"logit": pooled(x)}), "heatmap"),
    "no names": ("audio", lambda: model((8,), "float32", flat), "logit"),
    "another name": (
        "audio",
        lambda: model((8,), "float32", lambda x: {"probability": flat(x)}),
        "probability",
    ),
    "a column": ("audio", lambda: model((8,), "float32", lambda x: {"logit": layers.Dense(1)(x)}), "shape"),
    "two inputs": ("audio", lambda: _two_inputs(), "input"),
    "sequential": ("audio", lambda: keras.Sequential([keras.Input((8,)), layers.Dense(1)]), "logit"),
    "unknown layer": (
        "audio",
        lambda: model((8,), "float32", lambda x: {"logit": flat(Unregistered()(x))}),
        "Unregistered",
    ),
}


def _two_inputs() -> keras.Model:
    first, second = keras.Input((8,)), keras.Input((8,))
    return keras.Model([first, second], {"logit": flat(first + second)})


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_models_are_refused_by_name(tmp_path: Path, case: str) -> None:
    modality, build, message = FOREIGN[case]
    path = tmp_path / "foreign.keras"
    build().save(path)
    with pytest.raises(InvalidModel, match=rf"foreign\.keras.*{message}"):
        load_model(path, modality)


@pytest.mark.parametrize("length", [0, 100, 0.5, -1])
def test_cut_files_are_refused_by_name(
    keras_files: dict[str, Path], tmp_path: Path, length: int | float
) -> None:
    whole = keras_files["audio"].read_bytes()
    path = tmp_path / "cut.keras"
    path.write_bytes(whole[: int(len(whole) * length) if isinstance(length, float) else length])
    with pytest.raises(InvalidModel, match=r"cut\.keras"):
        load_model(path, "audio")


def test_a_zip_of_something_else_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "holiday.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.txt", "not a model")
    with pytest.raises(InvalidModel, match=r"holiday\.keras"):
        load_model(path, "audio")


def test_damaged_weights_are_refused_by_name(keras_files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "damaged.keras"
    with zipfile.ZipFile(keras_files["audio"]) as whole, zipfile.ZipFile(path, "w") as damaged:
        for name in whole.namelist():
            content = whole.read(name)
            damaged.writestr(name, content[: len(content) // 2] if name.endswith(".h5") else content)
    with pytest.raises(InvalidModel, match=r"damaged\.keras"):
        load_model(path, "audio")


def test_outputs_have_their_names_and_meaning(keras_files: dict[str, Path]) -> None:
    # The dict's alphabetical order is heatmap, logit: the two must not change places.
    source = load_model(keras_files["image"], "image")
    branch = convert(source, "image", keras_files["image"])
    assert [output.name for output in branch.graph.output] == ["logit", "heatmap"]
    rows = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    logit, heatmap = run(branch, rows, optimised=False)
    expected = source(rows)
    np.testing.assert_allclose(logit, expected["logit"], atol=1e-4)
    np.testing.assert_allclose(heatmap, expected["heatmap"], atol=1e-4)


def test_what_onnx_cannot_compute_is_refused_by_name(tmp_path: Path) -> None:
    def spectrum(x: Any) -> Any:
        square = layers.Reshape((8, 8))(x)
        return {"logit": flat(layers.Flatten()(keras.ops.fft2((square, square))[0]))}

    path = tmp_path / "fourier.keras"
    model((64,), "float32", spectrum).save(path)
    with pytest.raises(InvalidModel, match=r"fourier\.keras cannot be converted to ONNX: .*Complex"):
        convert(load_model(path, "audio"), "audio", path)


def test_layers_whose_names_tensorflow_refuses_are_named(tmp_path: Path) -> None:
    path = tmp_path / "spaces.keras"
    model((64,), "float32", lambda x: {"logit": flat(layers.Dense(2, name="my layer")(x))}).save(path)
    with pytest.raises(InvalidModel, match=r"spaces\.keras cannot be converted to ONNX: 'my layer'"):
        convert(load_model(path, "audio"), "audio", path)


def test_mixed_precision_becomes_float32(tmp_path: Path) -> None:
    path = tmp_path / "mixed.keras"
    keras_models.seeded()
    with precision(mixed=True):
        keras_models.image_model().save(path)
    branch = convert(load_model(path, "image"), "image", path)
    types = {tensor.data_type for tensor in branch.graph.initializer}
    assert onnx.TensorProto.FLOAT in types
    assert onnx.TensorProto.FLOAT16 not in types
    assert all(attributes(node).get("to") != onnx.TensorProto.FLOAT16 for node in branch.graph.node)
