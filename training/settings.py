"""Settings of training: names, defaults and what they mean; the command line is made from them."""

import math
import os
from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from collections.abc import Collection
from typing import Any, Literal, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, model_validator

from server.media.types import RowSpec

Modality = Literal["image", "video", "audio"]
Backbone = Literal["tiny", "efficientnetb0", "resnet50v2"]
Strategy = Literal["default", "mirrored", "multi-worker"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
LEAST_WINDOW_SAMPLES = 1136
"""Of a window of sound, at any rate: its model looks at one segment of 64 frames at least."""

Settings = TypeVar("Settings", bound=BaseModel)

# Few for sound: more fit generated voices better and real ones worse, while the validation score
# still rises.
_EPOCHS: dict[Modality, int] = {"image": 10, "video": 12, "audio": 6}
_LEARNING_RATE = 1e-3
_LEARNING_RATE_TINY_VISUAL = 3e-3


def add_workers(parser: ArgumentParser) -> None:
    """Adds the flag for the number of decoding processes."""
    parser.add_argument(
        "--workers", type=at_least_one, default=os.cpu_count() or 1, help="decoding processes"
    )


def at_least_one(text: str) -> int:
    """A number of an argument, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"at least one is needed, not {text}")
    return int(text)


def positive(text: str) -> float:
    """A number of an argument, for argparse, that need not be whole."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"a number above 0 is needed, not {text}")
    return number


def not_negative(text: str) -> int:
    """A number of an argument, for argparse, where 0 switches something off."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"a number is needed, 0 for none, not {text}")
    return int(text)


def add_settings(parser: ArgumentParser, defaults: BaseModel, without: Collection[str] = ()) -> None:
    """Adds a flag for each field of a model, but for some, with its description and these defaults."""
    for name, field in type(defaults).model_fields.items():
        if name in without:
            continue
        default = getattr(defaults, name)
        if field.annotation is bool:
            kind: dict[str, Any] = {"action": BooleanOptionalAction}
        elif get_origin(field.annotation) is Literal:
            kind = {"choices": get_args(field.annotation)}
        else:
            # Of `int | None`, what can be stated.
            kind = {"type": next(iter(get_args(field.annotation)), field.annotation)}
        parser.add_argument(
            f"--{name.replace('_', '-')}", default=default, help=f"{field.description} ({default})", **kind
        )


def settings_of(model: type[Settings], options: Namespace) -> Settings:
    """The model with what the parsed flags say of its fields."""
    given = vars(options)
    return model(**{name: given[name] for name in model.model_fields if name in given})


class RowSettings(BaseModel, frozen=True, extra="forbid"):
    """Which rows are made of a file; the exported graph asks the server for the same."""

    image_size: int = Field(224, ge=32, description="height and width of frames, in pixels")
    crops: int = Field(4, ge=0, description="native-resolution crops of a photo, besides the whole picture")
    frames_per_video: int = Field(5, ge=1, description="frames of a video that the image model sees")
    clips_per_video: int = Field(2, ge=1, description="clips of a video that the video model sees")
    clip_length: int = Field(5, ge=3, description="frames of a clip")
    clip_stride_seconds: float = Field(
        0.04, gt=0, allow_inf_nan=False, description="seconds between frames of a clip"
    )
    sample_rate: int = Field(16_000, ge=4_000, description="of sound, in Hz")
    # Shorter files of MP3, which training rows go through, cannot always be read.
    window_seconds: float = Field(4.0, ge=0.25, allow_inf_nan=False, description="length of a sound window")
    max_windows: int = Field(16, ge=1, description="windows of a sound, at most")

    @model_validator(mode="after")
    def _window_is_long_enough(self) -> Self:
        if self.window_samples < LEAST_WINDOW_SAMPLES:
            raise ValueError(f"window_seconds: its model needs {LEAST_WINDOW_SAMPLES} samples or more")
        return self

    @property
    def window_samples(self) -> int:
        return round(self.sample_rate * self.window_seconds)

    def row_spec(self, modality: Modality) -> RowSpec:
        """What the decoder is asked for to train the model of this modality."""
        return RowSpec(
            height=self.image_size,
            width=self.image_size,
            crops=self.crops,
            frames=self.frames_per_video,
            clips=self.clips_per_video,
            clip_length=self.clip_length,
            clip_stride_seconds=self.clip_stride_seconds,
            sample_rate=self.sample_rate,
            window_samples=self.window_samples,
            windows=self.max_windows,
            want_images=modality == "image",
            want_clips=modality == "video",
            want_audio=modality == "audio",
        )


def _level(what: str) -> Any:
    description = f"strongest {what} of training rows, 1 to 5 as in training/perturb/table.py; 0: none"
    return Field(3, ge=0, le=5, description=description)


class AugmentSettings(BaseModel, frozen=True, extra="forbid"):
    """What training rows go through, real or fake, besides being turned and toned."""

    augment_share: float = Field(0.5, ge=0, le=1, description="of training rows that are perturbed; 0: none")
    augment_jpeg: int = _level("JPEG compression")
    augment_h264: int = _level("video compression")
    augment_scale: int = _level("scaling down and up again")
    augment_blur: int = _level("blur")
    augment_noise: int = _level("noise, of pictures and of sound,")
    augment_colour: int = _level("change of brightness, contrast and saturation")
    augment_crop: int = _level("crop")
    augment_codec: int = _level("sound compression")
    augment_resample: int = _level("resampling of sound")
    augment_room: int = _level("room")
    augment_band_limit: int = _level("band limit of sound")

    def augment_level(self, perturbation: str) -> int:
        """Of a perturbation by its name in the table."""
        name = perturbation.lower().replace(" ", "_").replace(".", "")
        return int(getattr(self, f"augment_{name}"))


class FitSettings(RowSettings, AugmentSettings):
    """How the models are built and trained."""

    backbone: Backbone = Field(
        "efficientnetb0", description="feature extractor of the image and video models"
    )
    weights: str | None = Field(
        None, description="of the backbone: imagenet, none or a path; None is imagenet; tiny has none"
    )
    epochs: int | None = Field(
        None, ge=1, description="passes over the training rows, at most; None suits each media type"
    )
    batch_size: int = Field(32, ge=1, description="rows per step, of all devices together")
    learning_rate: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="peak, a tenth of it while fine-tuning; None suits the backbone",
    )
    fine_tune: bool = Field(True, description="train a pretrained backbone too, after its head")
    patience: int = Field(8, ge=1, description="epochs without a better validation AUC before stopping")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="of the training targets")
    frames_from_videos: bool = Field(True, description="train the image model on frames of videos too")
    pseudo_fakes: int = Field(
        0, ge=0, description="fakes to make of each real training file, for want of others or besides them"
    )
    mixed_precision: bool = Field(False, description="compute in float16 where that is safe; for GPUs")
    strategy: Strategy = Field(
        "default", description="one device, all GPUs of this machine, or those of all machines of TF_CONFIG"
    )
    seed: int = Field(7, ge=0, lt=2**32, description="of weights, order, augmentation and pseudo-fakes")

    @model_validator(mode="after")
    def _tiny_has_no_pretrained_weights(self) -> Self:
        if self.backbone == "tiny" and self.weights not in (None, "none"):
            raise ValueError("the tiny backbone has no pretrained weights; leave them out")
        return self

    def resolved(self, modality: Modality) -> "FitSettings":
        """The same for one modality, with epochs, learning rate and weights stated."""
        tiny = self.backbone == "tiny"
        # No sound model is pretrained.
        weights = "none" if modality == "audio" else self.weights or ("none" if tiny else "imagenet")
        rate = _LEARNING_RATE_TINY_VISUAL if tiny and modality != "audio" else _LEARNING_RATE
        return self.model_copy(
            update={
                "weights": weights,
                "epochs": self.epochs or _EPOCHS[modality],
                "learning_rate": self.learning_rate or rate,
            }
        )
