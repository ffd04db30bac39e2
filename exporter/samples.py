"""Rows to compare Keras and the graph on: random ones, media-like ones, and the user's own media."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.detect.plan import Planner
from server.detect.request import Options
from server.engine.manifest import Manifest
from server.errors import MediaError, ModelNotFound
from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import MediaRows, RowSpec
from training.decode import model_rows

ROWS = 4
"""Rows per modality that random and generated samples have."""
_MAX_FILES = 50
_MAX_MEDIA_ROWS = 16


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows by modality, as the Keras models take them; some may be missing.

    image: uint8 [N, H, W, 3], video: uint8 [N, T, H, W, 3], audio: float32 [N, S].
    """

    name: str
    rows: dict[str, NDArray[np.generic]]


def collect_samples(manifest: Manifest, media_folder: Path | None) -> list[Samples]:
    """Random rows, and those of the folder's media, or without a folder generated ones.

    Raises:
        ModelNotFound: the folder has no medium that this detector can judge.
    """
    if media_folder is None:
        return [_random(manifest), generated(manifest, ROWS)]
    return [_random(manifest), _decoded(manifest, media_folder)]


def _random(manifest: Manifest) -> Samples:
    random = np.random.default_rng(0)
    frame = (manifest.height, manifest.width, 3)
    rows: dict[str, NDArray[np.generic]] = {}
    if manifest.image:
        rows["image"] = random.integers(0, 256, (ROWS, *frame), dtype=np.uint8)
    if manifest.video:
        rows["video"] = random.integers(0, 256, (ROWS, manifest.video.clip_length, *frame), dtype=np.uint8)
    if manifest.audio:
        rows["audio"] = random.uniform(-1, 1, (ROWS, manifest.audio.window_samples)).astype(np.float32)
    return Samples("random", rows)


def generated(manifest: Manifest, count: int) -> Samples:
    """Photo-like and speech-like rows, and extremes that media do have: black frames and silence.

    Args:
        count: of rows per modality.
    """
    random = np.random.default_rng(1)
    rows: dict[str, NDArray[np.generic]] = {}
    scenes = [_scene(random, manifest.height, 2 * manifest.width) for _ in range(count - 1)]
    scenes.append(np.zeros_like(scenes[0]))
    if manifest.image:
        rows["image"] = np.stack([scene[:, : manifest.width] for scene in scenes])
    if manifest.video:
        steps = np.linspace(0, min(20, manifest.width), manifest.video.clip_length).astype(int)
        rows["video"] = np.stack(
            [[scene[:, step : step + manifest.width] for step in steps] for scene in scenes]
        )
    if manifest.audio:
        rate, length = manifest.audio.sample_rate, manifest.audio.window_samples
        voices = [_voice(random, rate, length) for _ in range(count - 1)]
        rows["audio"] = np.stack([*voices, np.zeros(length, np.float32)])
    return Samples("generated", rows)


def _scene(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Colour noise with the 1/f spectrum of photographs (Field, 1987)."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    phases = np.exp(2j * np.pi * random.random((3, *frequency.shape)))
    noise = np.fft.irfft2(phases / frequency, s=(height, width))
    noise /= noise.std(axis=(1, 2), keepdims=True) + 1e-9
    shared = 0.8 * noise[:1] + 0.3 * noise
    return np.clip(120 + 50 * shared.transpose(1, 2, 0), 0, 255).astype(np.uint8)


def _voice(random: np.random.Generator, sample_rate: int, length: int) -> NDArray[np.float32]:
    """Harmonics of a gliding pitch under syllables, with a little noise."""
    seconds = np.arange(length) / sample_rate
    pitch = random.uniform(90, 250) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(1, 3) * seconds))
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 4 * seconds), 0, 1)
    return (0.2 * harmonics * syllables + random.normal(0, 0.003, length)).astype(np.float32)


def _decoded(manifest: Manifest, folder: Path) -> Samples:
    spec = row_spec(manifest)
    collected: dict[str, list[NDArray[np.generic]]] = {modality: [] for modality in manifest.modalities}
    for media in _media(folder, spec):
        for modality, rows in collected.items():
            rows.extend(model_rows(media, modality)[: _MAX_MEDIA_ROWS - len(rows)])
    stacked = {modality: np.stack(rows) for modality, rows in collected.items() if rows}
    if not stacked:
        raise ModelNotFound(
            f"{folder} has no medium that this detector can judge",
            "Name a folder of photos, videos and sound, or leave --media-dir out.",
        )
    return Samples("media", stacked)


def _media(folder: Path, spec: RowSpec) -> Iterator[MediaRows]:
    """What can be decoded of the folder's first files, by name."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    for path in islice(files, _MAX_FILES):
        try:
            yield decode(path.read_bytes(), spec, MediaLimits())
        except MediaError:
            continue


def row_spec(manifest: Manifest) -> RowSpec:
    """What the server asks the decoders for, without channels apart: it makes several requests of those."""
    return replace(Planner(manifest).row_spec(Options()), by_channel=False)
