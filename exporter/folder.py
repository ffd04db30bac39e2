"""Finds what the trainer left in a models folder."""

from dataclasses import dataclass
from pathlib import Path

from server.engine.manifest import MODALITIES
from server.errors import InvalidModel, ModelNotFound
from server.media.spec import spec_hash
from training.record import TrainingRecord, read_record, record_path

RETRAIN = "Train the model again, or correct the record."


@dataclass(frozen=True, slots=True)
class Trained:
    """One trained model: the Keras file, and the record beside it."""

    path: Path
    record: TrainingRecord


def find_trained(folder: Path) -> dict[str, Trained]:
    """The trained models of a folder by modality, in the manifest's order.

    `{modality}_model_best.keras` is preferred to `{modality}_model_final.keras`.

    Raises:
        ModelNotFound: there is none.
        InvalidModel: a record is missing, not understood, about another file, or about rows
            that are made in another way than this version makes them.
    """
    found = {modality: _find(folder, modality) for modality in MODALITIES}
    trained = {modality: model for modality, model in found.items() if model is not None}
    if not trained:
        raise ModelNotFound(
            f"{folder} has no image_model_best.keras, video_model_best.keras or audio_model_best.keras",
            "Train them first; see: python -m training --help",
        )
    return trained


def _find(folder: Path, modality: str) -> Trained | None:
    candidates = [folder / f"{modality}_model_{kind}.keras" for kind in ("best", "final")]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        if record_path(folder, modality).exists():
            raise InvalidModel(
                f"{record_path(folder, modality)} has no model beside it: {candidates[0].name}",
                "Put it there, or remove the record to export the other modalities alone.",
            )
        return None
    return Trained(path, _read(path, modality))


def _read(path: Path, modality: str) -> TrainingRecord:
    where = record_path(path.parent, modality)
    try:
        record = read_record(path.parent, modality)
    except OSError as error:
        raise InvalidModel(f"{path} has no readable training record: {error}", RETRAIN) from error
    except ValueError as error:
        raise InvalidModel(f"{where} is not a training record: {error}", RETRAIN) from error
    if record.modality != modality:
        raise InvalidModel(f"{where} is the record of a model for {record.modality}", RETRAIN)
    if record.keras_file != path.name:
        raise InvalidModel(f"{where} is the record of {record.keras_file}, but {path.name} is here", RETRAIN)
    if record.spec_hash != spec_hash():
        raise InvalidModel(
            f"{where}: trained on rows of spec {record.spec_hash}, but this version makes rows of "
            f"spec {spec_hash()}",
            "Train the model again with this version.",
        )
    return record
