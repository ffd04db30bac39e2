"""Which frames, clips, windows and crops to look at: arithmetic only, the same for every caller."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]
_CLOCK_ROUNDING = 1e-3
CENTRE = 0.5
Box = tuple[int, int, int, int]


def even_times(start: float, end: float, count: int, phase: float = CENTRE) -> Times:
    """One time in each of `count` equal parts of [start, end]; at the centre, it is no black first frame."""
    return start + (end - start) * (np.arange(count) + phase) / count


def frames_at(times: Times, starts: Times) -> NDArray[np.int64]:
    """For each of `times` the frame on screen then; `starts` are the frames' times, ascending."""
    # A time that falls on a boundary must not depend on how a container rounds its clock.
    return np.maximum(np.searchsorted(starts, times + _CLOCK_ROUNDING, side="right") - 1, 0).astype(np.int64)


def choose_frames(starts: Times, end: float, count: int, phase: float = CENTRE) -> NDArray[np.int64]:
    """Up to `count` different frames, spread evenly over time.

    Args:
        starts: seconds at which each frame appears, ascending, not empty.
        end: seconds at which the last one disappears.
        phase: see `RowSpec`.
    """
    return np.unique(frames_at(even_times(float(starts[0]), end, count, phase), starts))


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """How clips are laid over a video: see `RowSpec`."""

    count: int
    length: int
    stride_seconds: float
    frames: int
    phase: float = CENTRE


def choose_clips(starts: Times, end: float, plan: ClipPlan) -> NDArray[np.int64]:
    """Clips [C, T] of frames at one constant step, around evenly placed anchors.

    An anchor near one of the `plan.frames` evenly spread frames moves onto it, so that the two
    share frames and groups of pictures. Fewer clips come back when they would be equal, none
    when the video has fewer than T frames.
    """
    total, length = len(starts), plan.length
    if total < length or plan.count < 1:
        return np.zeros((0, length), np.int64)
    anchors = _snap(
        even_times(float(starts[0]), end, plan.count, plan.phase),
        even_times(float(starts[0]), end, plan.frames, plan.phase),
        within=(end - float(starts[0])) / plan.count / 4,
    )
    step = _step(total, length, plan.stride_seconds * total / max(end - float(starts[0]), 1e-9))
    first = frames_at(anchors, starts) - (length // 2) * step
    first = np.unique(np.clip(first, 0, total - 1 - (length - 1) * step))
    return first[:, None] + step * np.arange(length)


def _step(total: int, length: int, frames_per_stride: float) -> int:
    longest = (total - 1) // (length - 1) if length > 1 else 1
    return max(1, min(round(frames_per_stride), longest))


def _snap(anchors: Times, marks: Times, within: float) -> Times:
    nearest = marks[np.abs(anchors[:, None] - marks[None, :]).argmin(1)]
    return np.where(np.abs(nearest - anchors) <= within, nearest, anchors)


def choose_windows(total: int, window: int, count: int, phase: float = CENTRE) -> NDArray[np.int64]:
    """First samples of up to `count` windows spread evenly over `total` samples.

    Windows overlap as little as covering all of the sound allows; a rest shorter than a tenth
    of a window (codecs pad) does not make another one. At least one window. Where they cannot
    cover all of it, they lie in equal parts of it at a `phase` that is not the centre.
    """
    if total <= window:
        return np.zeros(1, np.int64)
    needed = -(-(total - window // 10) // window)
    wanted = max(1, min(count, needed))
    if wanted < needed and phase != CENTRE:
        return np.rint(even_times(0, total - window, wanted, phase)).astype(np.int64)
    if wanted == 1:
        return np.asarray([(total - window) // 2], np.int64)
    return np.rint(np.linspace(0, total - window, wanted)).astype(np.int64)


def choose_crops(width: int, height: int, crop_width: int, crop_height: int, count: int) -> list[Box]:
    """Boxes (left, top, right, bottom) of native-resolution crops in evenly filled rows.

    None if the picture is smaller than a crop in either direction.
    """
    if count < 1 or width < crop_width or height < crop_height:
        return []
    rows = max(1, min(count, round((count * height / width) ** 0.5)))
    boxes = []
    for row, places in enumerate(len(part) for part in np.array_split(np.arange(count), rows)):
        top = _place(row, rows, height - crop_height)
        for column in range(places):
            left = _place(column, places, width - crop_width)
            boxes.append((left, top, left + crop_width, top + crop_height))
    return boxes


def _place(index: int, count: int, room: int) -> int:
    return round(room * (index + 0.5) / count)
