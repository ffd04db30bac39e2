"""The graph's contract with the server, carried as JSON in the ONNX file's own metadata."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from server.errors import InvalidModel

METADATA_KEY = "deepfake.manifest"
MODALITIES = ("image", "video", "audio")
"""The order of the columns of `weights`, `modality_probability` and `modality_present`."""

Precision = Literal["fp32", "fp16", "int8"]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Branch(_Frozen):
    """What calibration and aggregation do to one modality's logits, in the graph.

    A row's probability is sigmoid(logit / temperature + bias). A request's is the same of its
    rows' aggregated logit: their mean, or log(mean(exp(sharpness * logit))) / sharpness, which
    moves from the mean towards the maximum as sharpness grows.
    """

    temperature: float = Field(1.0, gt=0)
    bias: float = 0.0
    aggregation: Literal["mean", "log_mean_exp"] = "mean"
    sharpness: float = Field(1.0, gt=0)


class ImageBranch(Branch):
    """Scores single frames. Heatmap sizes are in cells."""

    frames_per_video: int = Field(5, ge=1)
    crops: int = Field(0, ge=0)
    heatmap_height: int = Field(ge=1)
    heatmap_width: int = Field(ge=1)


class VideoBranch(Branch):
    """Scores clips of `clip_length` frames about `clip_stride_seconds` apart."""

    clip_length: int = Field(5, ge=2)
    clips_per_video: int = Field(2, ge=1)
    clip_stride_seconds: float = Field(0.04, gt=0)


class AudioBranch(Branch):
    """Scores windows of mono PCM at `sample_rate` Hz."""

    sample_rate: int = Field(16_000, ge=4_000)
    window_samples: int = Field(64_000, ge=1)
    max_windows: int = Field(16, ge=1)
    mel: dict[str, Any] = Field(default_factory=dict)


class FusionWeights(_Frozen):
    image: float = Field(0.4, ge=0)
    video: float = Field(0.4, ge=0)
    audio: float = Field(0.2, ge=0)


class Thresholds(_Frozen):
    """At or below `real` the verdict is REAL, at or above `fake` FAKE, between INCONCLUSIVE."""

    real: Probability = 0.35
    fake: Probability = 0.65

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.real > self.fake:
            raise ValueError("thresholds: real must not exceed fake")
        return self


class Change(_Frozen):
    """What one modality's answers lose against the fp32 graph of the same version, file by file.

    Attributes:
        files: that were judged by both.
        mean, largest: absolute differences in probability.
        auc, auc_before: area under the ROC curve of this graph and of the fp32 one, in [0, 1]; None
            without labelled files of both kinds.
    """

    files: int = Field(ge=1)
    mean: Probability
    largest: Probability
    auc: Probability | None = None
    auc_before: Probability | None = None


class Trade(_Frozen):
    """What another precision gains and costs against fp32, as the exporter measured it.

    Attributes:
        measured_on, calibrated_on: which media, in words.
        float_layers: by modality what stayed in float32 though others of its kind did not.
        change: by modality.
        speed_up: by modality, fp32's time over this one's: one row on one thread of the exporter's CPU.
        cpu: that one's `server.engine.processor.features()`.
        pays_on_cpu: whether it was faster there, over all modalities, and cost no more than allowed.
    """

    measured_on: str
    calibrated_on: str
    float_layers: dict[str, tuple[str, ...]]
    change: dict[str, Change]
    speed_up: dict[str, float]
    cpu: tuple[str, ...]
    pays_on_cpu: bool


class Manifest(_Frozen):
    """Everything the server must know of a graph; see Branch and its subclasses for the modalities.

    Attributes:
        height, width: of every frame, in pixels.
        spec_hash: `server.media.spec.spec_hash()` of the rows that the models were trained on.
        training: one training record per modality, as the trainer wrote it.
        parity: largest absolute difference to Keras in probability, per modality and input.
        trade: what a precision other than fp32 gains and costs.
    """

    schema_version: Literal[1] = 1
    name: str
    version: str
    created: datetime
    spec_hash: str
    precision: Precision = "fp32"
    labels: tuple[str, str] = ("real", "fake")
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    image: ImageBranch | None = None
    video: VideoBranch | None = None
    audio: AudioBranch | None = None
    fusion_weights: FusionWeights = FusionWeights()
    thresholds: Thresholds = Thresholds()
    training: dict[str, dict[str, Any]] = Field(default_factory=dict)
    parity: dict[str, dict[str, float]] = Field(default_factory=dict)
    trade: Trade | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(name for name in MODALITIES if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _judges_something(self) -> Self:
        if not self.modalities:
            raise ValueError("a detector needs at least one of image, video, audio")
        return self


def parse_manifest(text: str | None, path: str) -> Manifest:
    """Reads the manifest from the metadata value of the graph at `path`.

    Raises:
        InvalidModel: there is none, or it is not one that this server understands.
    """
    if text is None:
        raise InvalidModel(f"{path} has no detector manifest in its ONNX metadata")
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise InvalidModel(f"{path}: manifest not understood: {error}") from error
