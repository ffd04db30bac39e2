"""The trained Keras models, fused as the exporter would fuse them, on rows from the server's decoders."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

import training.models  # noqa: F401  registers the layers, so that Keras can load them
from server.detect.plan import Planner
from server.detect.request import Options
from server.engine.manifest import Branch, FusionWeights, Manifest, Thresholds
from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.spec import spec_hash
from server.media.types import MediaRows, RowSpec
from training.branches import BRANCHES, check_model, sizes_of
from training.calibrate import Calibration
from training.decode import decode_each, failure, image_regions, model_rows, stated_kind
from training.devices import compute_in_float32
from training.errors import DataError
from training.evaluation.judge import Activation, Task
from training.evaluation.judged import JudgedFile, JudgedRow, verdict_of
from training.record import read_record, record_path
from training.sample import WHOLE
from training.settings import MODALITIES, Modality

_FILES_AT_ONCE = 16
_ROWS_AT_ONCE = 32
_WEIGHTS = FusionWeights()


@dataclass(frozen=True, slots=True)
class _Branch:
    """A model, how its logits become probabilities, and what its detector's manifest would say of it."""

    model: keras.Model
    calibration: Calibration
    described: Branch


@contextmanager
def keras_judge(models: Path, workers: int) -> Iterator["KerasJudge"]:
    """The models of a folder that have a record, fused with the exporter's default weights and thresholds.

    Raises:
        DataError: there are none, or they do not make one detector.
    """
    branches = {
        modality: _load(models, modality)
        for modality in MODALITIES
        if record_path(models, modality).is_file()
    }
    if not branches:
        raise DataError(f"there are no trained models in {models}")
    spec = _row_spec(branches)
    with closing(DecodePool(workers, MediaLimits())) as pool:
        yield KerasJudge(branches, spec, pool)


class KerasJudge:
    """Use `keras_judge` to make one; a `training.evaluation.judge.Judge`."""

    name = "Keras models"
    real_threshold, fake_threshold = Thresholds().real, Thresholds().fake
    local = True

    def __init__(self, branches: Mapping[Modality, _Branch], spec: RowSpec, pool: DecodePool) -> None:
        self._branches = branches
        self._spec = spec
        self._pool = pool

    def judge(self, tasks: Iterable[Task]) -> Iterator[JudgedFile]:
        media = ((task, task.content, stated_kind(task.truth.kind)) for task in tasks)
        decoded = decode_each(self._pool, media, self._spec, _FILES_AT_ONCE)
        # Several files at once: their rows fill batches, and rows of a few files fit into memory.
        while batch := list(islice(decoded, _FILES_AT_ONCE)):
            good = [(task, rows) for task, rows in batch if isinstance(rows, MediaRows)]
            for task, rows in batch:
                if not isinstance(rows, MediaRows):
                    yield task.truth.answered(error=failure(rows))
            yield from self._judge(good)

    def activations(self, content: bytes) -> list[Activation]:
        if "image" not in self._branches:
            return []
        spec = replace(self._spec, want_clips=False, want_audio=False)
        rows = self._pool.submit(content, spec, None).result()
        if not len(rows.image_index):
            return []
        branch = self._branches["image"]
        answer = branch.model(model_rows(rows, "image"), training=False)
        probabilities = branch.calibration.probability(np.asarray(answer["logit"]))
        heatmaps = branch.calibration.probability(np.asarray(answer["heatmap"]))
        return [
            Activation(region, float(start), float(probability), heatmap.astype(np.float32))
            for region, (start, _), probability, heatmap in zip(
                image_regions(rows), rows.image_times, probabilities, heatmaps, strict=True
            )
        ]

    def _judge(self, media: list[tuple[Task, MediaRows]]) -> Iterator[JudgedFile]:
        logits = {
            modality: _logits(branch.model, [model_rows(rows, modality) for _, rows in media])
            for modality, branch in self._branches.items()
        }
        for number, (task, rows) in enumerate(media):
            try:
                yield self._answer(task, rows, {modality: of[number] for modality, of in logits.items()})
            except DataError as error:
                yield task.without_mask(error)

    def _answer(
        self, task: Task, rows: MediaRows, logits: Mapping[Modality, NDArray[np.float32]]
    ) -> JudgedFile:
        present = {modality: values for modality, values in logits.items() if len(values)}
        probabilities = {
            modality: max(self._whole(modality, part) for part in _judged_apart(rows, modality, values))
            for modality, values in present.items()
        }
        shares = {modality: getattr(_WEIGHTS, modality) for modality in present}
        judged = [
            row for modality, values in present.items() for row in self._rows(task, rows, modality, values)
        ]
        answer = task.truth.answered(
            **{f"{modality}_probability": value for modality, value in probabilities.items()},
            rows=tuple(judged),
        )
        if not sum(shares.values()):
            return answer.answered(verdict="INCONCLUSIVE", reason="NO_EVIDENCE")
        fused = sum(shares[m] * probabilities[m] for m in present) / sum(shares.values())
        verdict = verdict_of(fused, self.real_threshold, self.fake_threshold)
        reason = "BETWEEN_THRESHOLDS" if verdict == "INCONCLUSIVE" else None
        return answer.answered(fake_probability=fused, verdict=verdict, reason=reason)

    def _whole(self, modality: Modality, logits: NDArray[np.float32]) -> float:
        calibration = self._branches[modality].calibration
        return float(calibration.probability(calibration.aggregate(logits, np.zeros(1, np.int64)))[0])

    def _rows(
        self, task: Task, rows: MediaRows, modality: Modality, logits: NDArray[np.float32]
    ) -> Iterator[JudgedRow]:
        times = {"image": rows.image_times, "video": rows.clip_times, "audio": rows.audio_times}[modality]
        regions = image_regions(rows) if modality == "image" else [WHOLE] * len(times)
        found = self._branches[modality].calibration.probability(logits)
        labels = task.row_labels(modality, regions, modality == "audio" and len(rows.audio_channel) > 0)
        for (start, end), label, probability in zip(times, labels, found, strict=True):
            yield JudgedRow(modality, label, float(start), float(end), float(probability))


def _load(models: Path, modality: Modality) -> _Branch:
    try:
        record = read_record(models, modality)
    except ValueError as error:
        raise DataError(f"{record_path(models, modality)} is not a training record: {error}") from error
    if record.spec_hash != spec_hash():
        raise DataError(f"{record_path(models, modality)}: trained on other rows than this version makes")
    file = models / record.keras_file
    try:
        model = keras.saving.load_model(file, compile=False)
        compute_in_float32(model)
        check_model(modality, model)
        described = BRANCHES[modality].model_validate(record.branch | sizes_of(modality, model))
    except ValidationError as error:
        raise DataError(f"{record_path(models, modality)}: branch not understood: {error}") from error
    except Exception as error:  # Keras raises whatever its parts raise
        raise DataError(
            f"{file} is not there, cannot be loaded by Keras, or is no model for {modality}: {error}"
        ) from error
    return _Branch(model, Calibration.model_validate(record.branch), described)


def _row_spec(branches: Mapping[Modality, _Branch]) -> RowSpec:
    """The rows that the exported graph will ask the server for."""
    sizes = {
        branch.model.inputs[0].shape[-3:-1] for modality, branch in branches.items() if modality != "audio"
    }
    if len(sizes) > 1:
        raise DataError("the image and the video model want frames of different sizes: no one detector")
    height, width = next(iter(sizes), (1, 1))
    manifest = Manifest(
        name="keras",
        version="0",
        created=datetime.now(UTC),
        spec_hash=spec_hash(),
        height=height,
        width=width,
        **{modality: branch.described for modality, branch in branches.items()},
    )
    return Planner(manifest).row_spec(Options())


def _judged_apart(
    rows: MediaRows, modality: Modality, logits: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """As `server.detect.voices` does it: those of each channel that holds a voice of its own, or all."""
    if modality != "audio" or not len(rows.audio_channel):
        return [logits]
    return [logits[rows.audio_channel == channel] for channel in np.unique(rows.audio_channel)]


def _logits(model: keras.Model, values: list[NDArray[Any]]) -> list[NDArray[np.float32]]:
    """The logits of each medium's rows, found in batches over all of them."""
    filled = [part for part in values if len(part)]
    if not filled:
        return [np.zeros(0, np.float32) for _ in values]
    together = np.concatenate(filled)
    batches = [together[at : at + _ROWS_AT_ONCE] for at in range(0, len(together), _ROWS_AT_ONCE)]
    found = np.concatenate([np.asarray(model(batch, training=False)["logit"]) for batch in batches])
    return np.split(found, np.cumsum([len(part) for part in values])[:-1])
