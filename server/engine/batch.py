"""Rows of many requests in one run of the graph: put together, and taken apart again."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from server.engine.manifest import MODALITIES, Manifest

Tensors = dict[str, NDArray[Any]]
Counts = tuple[int, int, int]
"""Image rows, clips, audio windows."""
# Of an output that the graph does not have.
_NONE = np.zeros(0, np.float32)
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one request; F, I, C or A may be 0.

    Attributes:
        frames: uint8 [F, H, W, 3].
        image_index: int64 [I] into frames.
        clip_index: int64 [C, T] into frames.
        audio: float32 [A, S].
        weights: float32 [3], fusion weights of image, video, audio; 0 switches one off.
        counts: how many rows of each kind.
    """

    frames: NDArray[np.uint8]
    image_index: NDArray[np.int64]
    clip_index: NDArray[np.int64]
    audio: NDArray[np.float32]
    weights: NDArray[np.float32]
    counts: Counts = field(init=False)

    def __post_init__(self) -> None:
        # Kept, because everything on the way to a batch asks for them.
        counts = len(self.image_index), len(self.clip_index), len(self.audio)
        object.__setattr__(self, "counts", counts)


@dataclass(slots=True)
class Scores:
    """The graph's answer for one request; probabilities of fake in [0, 1].

    Attributes:
        fake_probability: fused; 0 when nothing is present.
        modality_probability: float32 [3].
        modality_present: bool [3].
        image_probability, clip_probability, audio_probability: float32 [I], [C], [A].
        image_heatmap: float32 [I, h, w] in [0, 1].
        queue_seconds, inference_seconds: how long it waited for the engine, and how long its run took.
        batch_requests: how many requests shared that run. The engine fills in these three.
    """

    fake_probability: float
    modality_probability: NDArray[np.float32]
    modality_present: NDArray[np.bool_]
    image_probability: NDArray[np.float32]
    clip_probability: NDArray[np.float32]
    audio_probability: NDArray[np.float32]
    image_heatmap: NDArray[np.float32]
    queue_seconds: float = 0.0
    inference_seconds: float = 0.0
    batch_requests: int = 1


def empty_rows(manifest: Manifest) -> Rows:
    """Rows of a request that has nothing to judge, with the shapes of the manifest's graph."""
    clip_length = manifest.video.clip_length if manifest.video else 0
    window = manifest.audio.window_samples if manifest.audio else 0
    return Rows(
        np.zeros((0, manifest.height, manifest.width, 3), np.uint8),
        np.zeros(0, np.int64),
        np.zeros((0, clip_length), np.int64),
        np.zeros((0, window), np.float32),
        np.zeros(3, np.float32),
    )


def blank_rows(manifest: Manifest, images: int, clips: int, windows: int) -> Rows:
    """So many rows of nothing; of modalities that the manifest does not have, none must be asked for."""
    empty = empty_rows(manifest)
    return Rows(
        np.zeros((1 if images or clips else 0, *empty.frames.shape[1:]), np.uint8),
        np.zeros(images, np.int64),
        np.zeros((clips, empty.clip_index.shape[1]), np.int64),
        np.zeros((windows, empty.audio.shape[1]), np.float32),
        np.ones(3, np.float32),
    )


def counts_of(modality: str, count: int) -> Counts:
    """So many rows of one modality, and none of the others."""
    images, clips, windows = (count if name == modality else 0 for name in MODALITIES)
    return images, clips, windows


def one_row_each(manifest: Manifest) -> Rows:
    """A blank row of every modality: for measurements, and for providers that need a row."""
    return blank_rows(manifest, *(int(name in manifest.modalities) for name in MODALITIES))


def without_idle_frames(rows: Rows) -> Rows:
    """The same with only those frames that are in an image row or a clip."""
    used, places = np.unique(np.append(rows.image_index, rows.clip_index), return_inverse=True)
    if len(used) == len(rows.frames):
        return rows
    images = len(rows.image_index)
    return replace(
        rows,
        frames=rows.frames[used],
        image_index=places[:images],
        clip_index=places[images:].reshape(rows.clip_index.shape),
    )


def assemble(requests: Sequence[Rows], manifest: Manifest, room: Tensors | None = None) -> Tensors:
    """The graph's inputs: rows concatenated per modality, each with the index of its request.

    Args:
        room: arrays of which frames and sound get the first part; without them they get memory of their own,
            or a single request's.
    """
    first_frame = np.array([0, *accumulate(len(rows.frames) for rows in requests[:-1])], np.int64)
    feeds: Tensors = {"weights": np.array([rows.weights for rows in requests], np.float32)}
    if manifest.image or manifest.video:
        feeds["frames"] = _concatenate([rows.frames for rows in requests], room["frames"] if room else None)
    if manifest.image:
        owners = _owners([len(rows.image_index) for rows in requests])
        feeds["image_index"] = _concatenate([rows.image_index for rows in requests]) + first_frame[owners]
        feeds["image_request"] = owners
    if manifest.video:
        owners = _owners([len(rows.clip_index) for rows in requests])
        feeds["clip_index"] = _concatenate([rows.clip_index for rows in requests]) + first_frame[owners, None]
        feeds["clip_request"] = owners
    if manifest.audio:
        feeds["audio"] = _concatenate([rows.audio for rows in requests], room["audio"] if room else None)
        feeds["audio_request"] = _owners([len(rows.audio) for rows in requests])
    return feeds


def fill(inputs: Tensors, requests: Sequence[Rows], manifest: Manifest) -> int:
    """Writes the rows of all requests into inputs that have room for more; returns how many frames that were.

    What is left over becomes rows of the last request that there is room for, so `requests` must be fewer.
    """
    if "frames" in inputs and sum(len(rows.frames) for rows in requests) > len(inputs["frames"]):
        requests = [without_idle_frames(rows) for rows in requests]
    feeds = assemble(requests, manifest, inputs)
    spare = len(inputs["weights"]) - 1
    for name, whole in inputs.items():
        if name not in ("frames", "audio"):
            count = len(feeds[name])
            whole[:count] = feeds[name]
            whole[count:] = spare if name.endswith("_request") else 0
    return len(feeds.get("frames", ()))


def disassemble(outputs: Tensors, requests: Sequence[Rows]) -> list[Scores]:
    """The graph's outputs, cut into one answer for each of `requests`."""
    image, clip, audio, heatmap = (
        outputs.get(name, _NONE)
        for name in ("image_probability", "clip_probability", "audio_probability", "image_heatmap")
    )
    fused = outputs["fake_probability"].tolist()
    probability, present = outputs["modality_probability"], outputs["modality_present"]
    first_image = first_clip = first_window = 0
    scores = []
    for number, rows in enumerate(requests):
        images, clips, windows = rows.counts
        end_image, end_clip, end_window = first_image + images, first_clip + clips, first_window + windows
        scores.append(
            Scores(
                fused[number],
                probability[number],
                present[number],
                image[first_image:end_image],
                clip[first_clip:end_clip],
                audio[first_window:end_window],
                heatmap[first_image:end_image],
            )
        )
        first_image, first_clip, first_window = end_image, end_clip, end_window
    return scores


def _concatenate(parts: list[NDArray[Number]], room: NDArray[Any] | None = None) -> NDArray[Number]:
    filled = [part for part in parts if len(part)]
    if room is not None and filled:
        return np.concatenate(filled, out=room[: sum(map(len, filled))])
    # A single part needs no copy: the decoder's own buffer goes into the graph.
    if len(filled) == 1:
        return np.ascontiguousarray(filled[0])
    return np.concatenate(filled or parts[:1])


def _owners(counts: list[int]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(counts), dtype=np.int64), counts)
