"""From a request to rows: what to decode for this graph, and how decoded media become one request's rows."""

from collections.abc import Sequence
from dataclasses import replace
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


class Planner:
    """Plans requests to one graph. What depends on few options only is worked out once for each of them.

    Attributes:
        manifest: of the graph.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._empty = empty_rows(manifest)
        # Few: there are eight sets of modalities, and a request may ask for so many frames only.
        self._specs: dict[tuple[frozenset[str], int | None], RowSpec] = {}
        self._weights: dict[frozenset[str], NDArray[np.float32]] = {}

    def row_spec(self, options: Options) -> RowSpec:
        """The rows to decode for this graph with these options.

        Raises:
            InvalidRequest: a modality that the graph does not have.
        """
        key = options.modalities, options.frames_per_video
        if (spec := self._specs.get(key)) is None:
            spec = self._specs[key] = _row_spec(self.manifest, options)
        return spec

    def fusion_weights(self, options: Options) -> NDArray[np.float32]:
        """float32 [3], not to be written to: as `fusion_weights`."""
        if options.weights:
            return fusion_weights(self.manifest, options)
        if (weights := self._weights.get(options.modalities)) is None:
            weights = self._weights[options.modalities] = fusion_weights(self.manifest, options)
            weights.flags.writeable = False
        return weights

    def merge(self, media: Sequence[MediaRows], weights: NDArray[np.float32]) -> Rows:
        """The rows of all media of one request, as one request of the engine."""
        offsets = accumulate((len(rows.frames) for rows in media), initial=0)
        pairs = list(zip(media, offsets))  # noqa: B905 - the last offset is the end
        return Rows(
            _join([rows.frames for rows in media], self._empty.frames),
            _join([_shifted(rows.image_index, offset) for rows, offset in pairs], self._empty.image_index),
            _join([_shifted(rows.clip_index, offset) for rows, offset in pairs], self._empty.clip_index),
            _join([rows.audio for rows in media], self._empty.audio),
            weights,
        )


def fusion_weights(manifest: Manifest, options: Options) -> NDArray[np.float32]:
    """float32 [3]: the request's weights, else the model's, 0 where a modality is not wanted."""
    weights = dict(options.weights or manifest.fusion_weights)
    wanted = options.modalities or frozenset(manifest.modalities)
    return np.array([weights[name] if name in wanted else 0.0 for name in MODALITIES], np.float32)


def _row_spec(manifest: Manifest, options: Options) -> RowSpec:
    wanted = options.modalities or frozenset(manifest.modalities)
    if missing := wanted - set(manifest.modalities):
        raise InvalidRequest(
            f"model {manifest.name} cannot judge {', '.join(sorted(missing))}",
            f"It judges {', '.join(manifest.modalities)}.",
        )
    image, video, audio = manifest.image, manifest.video, manifest.audio
    spec = RowSpec(
        manifest.height,
        manifest.width,
        want_images=IMAGE in wanted,
        want_clips=VIDEO in wanted,
        want_audio=AUDIO in wanted,
        by_channel=True,
    )
    if image:
        frames = options.frames_per_video or image.frames_per_video
        spec = replace(spec, crops=image.crops, frames=frames)
    if video:
        spec = replace(
            spec,
            clips=video.clips_per_video,
            clip_length=video.clip_length,
            clip_stride_seconds=video.clip_stride_seconds,
        )
    if audio:
        spec = replace(
            spec,
            sample_rate=audio.sample_rate,
            window_samples=audio.window_samples,
            windows=audio.max_windows,
        )
    return spec


def _shifted(index: NDArray[np.int64], offset: int) -> NDArray[np.int64]:
    return index + offset if offset else index


def _join(parts: list[NDArray[_Number]], empty: NDArray[_Number]) -> NDArray[_Number]:
    # Media without a modality bring arrays of no particular shape: leave them out.
    filled = [part for part in parts if len(part)]
    if not filled:
        return empty
    return filled[0] if len(filled) == 1 else np.concatenate(filled)
