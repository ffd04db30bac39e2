"""From a request to rows: what to decode for this graph, and how decoded media become one request's rows."""

from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from server.detect.request import AUDIO, IMAGE, VIDEO, Options
from server.engine.batch import Rows, empty_rows
from server.engine.manifest import MODALITIES, Manifest
from server.errors import InvalidModel, InvalidRequest
from server.media.spec import spec_hash
from server.media.types import MediaRows, RowSpec

_Number = TypeVar("_Number", bound=np.generic)


def check_spec(manifest: Manifest) -> None:
    """Raises InvalidModel if the graph was trained on rows made in another way than ours."""
    if manifest.spec_hash != spec_hash():
        raise InvalidModel(
            f"model {manifest.name} version {manifest.version} expects preprocessing "
            f"{manifest.spec_hash}, this server makes {spec_hash()}",
            "Train and export it again with this release, or serve it with the release that made it.",
        )


def row_spec(manifest: Manifest, options: Options) -> RowSpec:
    """The rows to decode for this graph with these options.

    Raises:
        InvalidRequest: a modality that the graph does not have.
    """
    wanted = options.modalities or frozenset(manifest.modalities)
    if missing := wanted - set(manifest.modalities):
        raise InvalidRequest(
            f"model {manifest.name} cannot judge {', '.join(sorted(missing))}",
            f"It judges {', '.join(manifest.modalities)}.",
        )
    image, video, audio = manifest.image, manifest.video, manifest.audio
    spec: dict[str, int | float] = {"height": manifest.height, "width": manifest.width}
    if image:
        spec |= {"crops": image.crops, "frames": options.frames_per_video or image.frames_per_video}
    if video:
        spec |= {
            "clips": video.clips_per_video,
            "clip_length": video.clip_length,
            "clip_stride_seconds": video.clip_stride_seconds,
        }
    if audio:
        spec |= {
            "sample_rate": audio.sample_rate,
            "window_samples": audio.window_samples,
            "windows": audio.max_windows,
        }
    return RowSpec(
        want_images=IMAGE in wanted,
        want_clips=VIDEO in wanted,
        want_audio=AUDIO in wanted,
        **spec,  # type: ignore[arg-type]
    )


def fusion_weights(manifest: Manifest, options: Options) -> NDArray[np.float32]:
    """float32 [3]: the request's weights, else the model's, 0 where a modality is not wanted."""
    weights = dict(options.weights or manifest.fusion_weights)
    wanted = options.modalities or frozenset(MODALITIES)
    return np.array([weights[name] if name in wanted else 0.0 for name in MODALITIES], np.float32)


def merge(media: Sequence[MediaRows], weights: NDArray[np.float32], manifest: Manifest) -> Rows:
    """The rows of all media of one request, as one request of the engine."""
    empty = empty_rows(manifest)
    offsets = accumulate((len(rows.frames) for rows in media), initial=0)
    pairs = list(zip(media, offsets))  # noqa: B905 - the last offset is the end
    return Rows(
        _join([rows.frames for rows in media], empty.frames),
        _join([rows.image_index + offset for rows, offset in pairs], empty.image_index),
        _join([rows.clip_index + offset for rows, offset in pairs], empty.clip_index),
        _join([rows.audio for rows in media], empty.audio),
        weights,
    )


def _join(parts: list[NDArray[_Number]], empty: NDArray[_Number]) -> NDArray[_Number]:
    # Media without a modality bring arrays of no particular shape: leave them out.
    filled = [part for part in parts if len(part)]
    if not filled:
        return empty
    return filled[0] if len(filled) == 1 else np.concatenate(filled)
