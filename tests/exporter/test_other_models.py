"""Layers that models of users have, each in a small model, from Keras to all precisions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers

from server.engine.repository import graph_file
from server.engine.selftest import self_test
from server.engine.session import Session
from tests.exporter import keras_models
from tests.exporter import other_models as models
from tests.exporter.cases import check_answers, check_zero_rows, make_case, run_export
from tests.training_records import add_record

MODELS: dict[str, tuple[str, Callable[[], keras.Model]]] = {
    "LSTM": ("video", lambda: models.clip_model(layers.LSTM(6))),
    "two LSTMs": ("audio", lambda: models.sound_model(two(layers.LSTM))),
    "LSTM both ways": ("audio", lambda: models.sound_model(layers.Bidirectional(layers.LSTM(6)))),
    "GRU": ("video", lambda: models.clip_model(layers.GRU(6))),
    "two GRUs": ("audio", lambda: models.sound_model(two(layers.GRU))),
    "GRU that resets before": ("audio", lambda: models.sound_model(layers.GRU(6, reset_after=False))),
    "GRU both ways": ("audio", lambda: models.sound_model(layers.Bidirectional(layers.GRU(6)))),
    "SimpleRNN": ("video", lambda: models.clip_model(layers.SimpleRNN(6))),
    "ConvLSTM2D": ("video", models.moving_pixels_model),
    "attention of frames": ("video", lambda: models.clip_model(models.attention)),
    "attention of sound": ("audio", lambda: models.sound_model(models.attention)),
    "attention to the past": ("audio", lambda: models.sound_model(models.masked_attention)),
    "MelSpectrogram": ("audio", lambda: models.sound_model(models.mel_spectrogram)),
    "Fourier transform": ("audio", lambda: models.sound_model(models.fourier)),
    "mixed_bfloat16": (
        "image",
        lambda: models.in_half(lambda: models.photo_model(models.sequential), "mixed_bfloat16"),
    ),
    "vision transformer": ("image", lambda: models.photo_model(models.transformer)),
    "grouped convolution": ("image", lambda: models.photo_model(models.grouped)),
    "GELU": ("image", lambda: models.photo_model(models.gelu)),
    "nearest Resizing": ("image", lambda: models.photo_model(models.resized("nearest"))),
    "bilinear Resizing": ("image", lambda: models.photo_model(models.resized("bilinear"))),
}


def two(layer: Callable[..., Any]) -> Callable[[Any], Any]:
    """The first hands on all steps, the second the last one."""
    return lambda x: layer(6)(layer(8, return_sequences=True)(x))


def save(build: Callable[[], keras.Model], path: Path) -> Path:
    keras_models.seeded()
    keras_models.randomise(build()).save(path)
    return path


@pytest.mark.parametrize("name", MODELS)
def test_answers_stay(name: str, tmp_path: Path) -> None:
    modality, build = MODELS[name]
    case = make_case(save(build, tmp_path / "model.keras"), modality)
    check_answers(case)
    check_zero_rows(case)
    # A mask is as large as the steps that it finds, and so is Keras' spectrogram.
    if "Loop" not in case.operators() and name not in {"attention to the past", "MelSpectrogram"}:
        assert "Shape" not in case.operators(), "sizes are constants, but for the rows"


@pytest.mark.parametrize(
    "name",
    ["LSTM", "GRU both ways", "ConvLSTM2D", "attention to the past", "MelSpectrogram", "vision transformer"],
)
def test_all_precisions_are_served(name: str, tmp_path: Path) -> None:
    modality, build = MODELS[name]
    save(build, tmp_path / f"{modality}_model_best.keras")
    add_record(tmp_path, modality)
    exported = run_export(tmp_path, max_change=0.05, precisions=["fp16", "int8"])
    assert [manifest.precision for manifest in exported.others] == ["fp16", "int8"]
    for manifest in (exported.manifest, *exported.others):
        self_test(Session(graph_file(exported.path, manifest.precision), "cpu", 2))
