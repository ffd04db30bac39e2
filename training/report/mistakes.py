"""The files that a detector was most wrong about, with what it saw in them."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import librosa
import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from server.errors import MediaError
from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.types import MediaKind, MediaRows, RowSpec
from training.decode import read_bytes, stated_kind
from training.errors import TrainingError
from training.evaluation.judge import Activation, Judge
from training.evaluation.judged import JudgedFile
from training.report import plots
from training.sample import WHOLE

SHOWN = 6
"""Of each kind of file and each kind of error."""
_SIDE = 256
_SECONDS, _SAMPLE_RATE, _MEL_BANDS = 8.0, 16_000, 80
_HEAT = 0.45
# Blank frames have no activations, so that the image model saw more; an odd multiple has the same centres.
_FINER = 5


@dataclass(frozen=True, slots=True)
class Mistake:
    """A file that was judged wrongly.

    Attributes:
        file: with its truth and answer.
        picture: PNG of the photo, of the frame that misled most, or of the sound's spectrogram;
            None if that shows nothing, or if the file cannot be read any more.
        overlay: the picture under its class-activation map; None without one.
    """

    file: JudgedFile
    picture: bytes | None
    overlay: bytes | None


def worst_mistakes(files: Sequence[JudgedFile], judge: Judge | None) -> list[Mistake]:
    """Fakes with the lowest and real files with the highest fused probability, if on the wrong side of 0.5.

    Args:
        files: of one kind.
        judge: for class-activation maps.
    """
    wrong = [
        (abs(file.label - p), file)
        for file in files
        if (p := file.fake_probability) is not None and (p >= 0.5) != bool(file.label)
    ]
    ordered = [file for _, file in sorted(wrong, key=lambda pair: -pair[0])]
    shown = [file for label in (1, 0) for file in [f for f in ordered if f.label == label][:SHOWN]]
    if not shown:
        return []
    with closing(DecodePool(1, MediaLimits())) as pool:
        return [_mistake(file, pool, judge) for file in shown]


def _mistake(file: JudgedFile, pool: DecodePool, judge: Judge | None) -> Mistake:
    content = read_bytes(Path(file.path))
    if isinstance(content, OSError):
        return Mistake(file, None, None)
    try:
        activations = judge.activations(content) if judge and file.kind != "audio" else []
        whole = [activation for activation in activations if activation.region == WHOLE]
        spec = _spec(file.kind, _FINER * max(1, len(whole)))
        kind = stated_kind(file.kind) if file.kind else None
        rows = pool.submit(content, spec, kind).result()
    except (MediaError, TrainingError):
        return Mistake(file, None, None)
    if file.kind == "audio" or rows.facts.kind is MediaKind.AUDIO:
        return Mistake(file, _spectrogram(rows), None)
    if not len(rows.image_index):
        # They are blank, and another model judged the file.
        return Mistake(file, None, None)
    return _seen(file, rows, activations)


def _spec(kind: str, frames: int) -> RowSpec:
    """Rows of which some show the moments of a video that the image model saw."""
    return RowSpec(
        height=_SIDE,
        width=_SIDE,
        frames=frames,
        sample_rate=_SAMPLE_RATE,
        window_samples=round(_SECONDS * _SAMPLE_RATE),
        windows=1,
        want_clips=False,
        want_audio=kind in ("audio", ""),
    )


def _seen(file: JudgedFile, rows: MediaRows, activations: Sequence[Activation]) -> Mistake:
    frames = rows.frames[rows.image_index]
    if rows.facts.kind is MediaKind.IMAGE or not activations:
        picture, looked_at = frames[0], list(activations)
    else:
        # The frame that misled most.
        most = max(activations, key=lambda seen: abs(file.label - seen.fake_probability))
        nearest = np.argmin(np.abs(rows.image_times[:, 0] - most.start_seconds))
        picture, looked_at = frames[nearest], [most]
    size = _shape(rows)
    overlay = _png(_heated(picture, looked_at), size) if looked_at else None
    return Mistake(file, _png(picture, size), overlay)


def _heated(picture: NDArray[np.uint8], activations: Sequence[Activation]) -> NDArray[np.uint8]:
    """The maps of the whole picture and of its crops, averaged where they overlap, laid over it."""
    total, count = np.zeros((_SIDE, _SIDE)), np.zeros((_SIDE, _SIDE))
    for activation in activations:
        left, top, right, bottom = (round(edge * _SIDE) for edge in activation.region)
        size = max(1, right - left), max(1, bottom - top)
        cells = Image.fromarray(activation.heatmap.astype(np.float32))
        enlarged = np.asarray(cells.resize(size, Image.Resampling.BILINEAR))
        part = (slice(top, top + size[1]), slice(left, left + size[0]))
        total[part] += enlarged[: _SIDE - top, : _SIDE - left]
        count[part] += 1
    heat = total / np.maximum(count, 1)
    coloured = 255 * colormaps["inferno"](heat)[..., :3]
    return np.asarray((1 - _HEAT) * picture + _HEAT * coloured, np.uint8)


def _shape(rows: MediaRows) -> tuple[int, int]:
    """Width and height as the picture really has them, within the square."""
    width, height = max(1, rows.facts.width), max(1, rows.facts.height)
    scale = _SIDE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _png(pixels: NDArray[np.uint8], size: tuple[int, int]) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR).save(out, "PNG")
    return out.getvalue()


def _spectrogram(rows: MediaRows) -> bytes | None:
    if not len(rows.audio):
        return None
    seconds = min(_SECONDS, rows.facts.duration_seconds)
    # A window longer than the sound repeats it.
    pcm = rows.audio[0][: round(seconds * _SAMPLE_RATE)]
    mel = librosa.feature.melspectrogram(y=pcm, sr=_SAMPLE_RATE, n_mels=_MEL_BANDS)
    return plots.spectrogram(librosa.power_to_db(mel, ref=np.max), seconds)
