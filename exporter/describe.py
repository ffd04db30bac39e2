"""What the records and the models say together: the manifest of the detector."""

from collections.abc import Mapping
from datetime import UTC, datetime

import keras
from pydantic import ValidationError

from exporter.folder import RETRAIN, Trained
from server.engine.manifest import Branch, FusionWeights, Manifest, Thresholds
from server.errors import InvalidModel
from server.media.spec import spec_hash
from training.branches import BRANCHES, sizes_of
from training.record import record_path


def describe(
    name: str,
    version: int,
    trained: Mapping[str, Trained],
    models: Mapping[str, keras.Model],
    fusion_weights: FusionWeights,
    thresholds: Thresholds,
) -> Manifest:
    """Makes the manifest, still without parity.

    Raises:
        InvalidModel: image and video models want frames of different sizes, or a record
            contradicts its model, or nothing has a weight.
    """
    height, width = _frame_size(trained, models)
    if not any(getattr(fusion_weights, modality) for modality in models):
        raise InvalidModel(
            f"the fusion weights of {', '.join(models)} are all 0", "Give one of them a positive weight."
        )
    return Manifest(
        name=name,
        version=str(version),
        created=datetime.now(UTC).replace(microsecond=0),
        spec_hash=spec_hash(),
        height=height,
        width=width,
        fusion_weights=fusion_weights,
        thresholds=thresholds,
        training={modality: model.record.model_dump(mode="json") for modality, model in trained.items()},
        **{modality: _branch(trained[modality], model) for modality, model in models.items()},
    )


def _frame_size(trained: Mapping[str, Trained], models: Mapping[str, keras.Model]) -> tuple[int, int]:
    sizes = {
        modality: tuple(model.inputs[0].shape[-3:-1])
        for modality, model in models.items()
        if modality != "audio"
    }
    if len(set(sizes.values())) > 1:
        wanted = " but ".join(
            f"{trained[modality].path} wants {height} x {width}"
            for modality, (height, width) in sizes.items()
        )
        raise InvalidModel(
            f"all models must share one frame size: {wanted}", "Train both with the same image size."
        )
    # A detector for sound alone has no frames; 1 x 1 is the smallest that a manifest can say.
    return next(iter(sizes.values()), (1, 1))


def _branch(trained: Trained, model: keras.Model) -> Branch:
    """The branch out of the record and the sizes that the model tells."""
    modality = trained.record.modality
    where, sizes = record_path(trained.path.parent, modality), sizes_of(modality, model)
    for field, value in sizes.items():
        stated = trained.record.branch.get(field, value)
        if stated != value:
            raise InvalidModel(
                f"{where} says {field} {stated}, but the model in {trained.path} has {value}", RETRAIN
            )
    try:
        return BRANCHES[modality].model_validate(trained.record.branch | sizes)
    except ValidationError as error:
        raise InvalidModel(f"{where}: branch not understood: {error}", RETRAIN) from error
