"""The few shapes that runs have on a provider that prepares anew for every shape.

ONNX Runtime's convolutions on CUDA keep what cuDNN prepared for one number of rows, and forget it when
another number comes (its issue 23006). That takes up to seconds, so batches of just any size would wait
far longer than they run. Each shape therefore gets a session of its own, and batches are filled up to the
next shape.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from server.engine.batch import Counts, Rows, counts_of
from server.engine.manifest import MODALITIES, Manifest

_MOST_ROWS = 64
# Fewer rows than this take a device as long as one does.
_FEW_ROWS = 8


@dataclass(frozen=True, slots=True)
class Shapes:
    """Multiples of what a photo, a piece of sound and a video bring.

    Attributes:
        video: the rows of one video with sound at most, unless a request asks for more.
        least: rows of each kind that a run must have.
    """

    video: Counts
    least: Counts = (0, 0, 0)

    @classmethod
    def of(cls, manifest: Manifest, least: Counts) -> "Shapes":
        """Those of a manifest's graph, with as many rows for a video as the server takes from one."""
        image, video, audio = manifest.image, manifest.video, manifest.audio
        return cls(
            (
                image.frames_per_video if image else 0,
                video.clips_per_video if video else 0,
                audio.max_windows if audio else 0,
            ),
            least,
        )

    def all(self) -> list[Counts]:
        """Those to prepare before the first request comes."""
        images, clips, windows = ((0, 1) if most else (0,) for most in self.video)
        units = dict.fromkeys(self._unit(counts) for counts in product(images, clips, windows))
        every = (self._times(unit, factor) for unit in units for factor in _factors(unit))
        return list(dict.fromkeys(every))

    def steps(self, modality: str) -> list[int]:
        """How many rows of one modality, without others, fill shapes of `all`; ascending."""
        place = MODALITIES.index(modality)
        unit = self._unit(counts_of(modality, 1))
        return [factor * unit[place] for factor in _factors(unit)]

    def around(self, requests: Sequence[Rows]) -> Counts:
        """The shape to run them in; beyond all of `all`, the next power of two."""
        images, clips, windows = zip(*map(self._room, requests), strict=True)
        counts = sum(images), sum(clips), sum(windows)
        unit = self._unit(counts)
        needed = _needed(counts, unit)
        prepared = (factor for factor in _factors(unit) if factor >= needed)
        return self._times(unit, next(prepared, _power_of_two(needed)))

    def share(self, rows: Rows) -> float:
        """How much of the largest prepared run they fill; beyond 1 they get a shape of their own."""
        images, clips, windows = rows.counts
        most_images, most_clips, most_windows = _most(self._unit(rows.counts))
        return max(images / most_images, clips / most_clips, windows / most_windows)

    def groups(self, requests: Sequence[Rows]) -> Iterator[list[int]]:
        """Indices of the requests that share a run: of the same kinds of rows, and in a shape of `all`."""
        by_unit: dict[Counts, list[int]] = {}
        rooms = [self._room(rows) for rows in requests]
        for index, room in enumerate(rooms):
            by_unit.setdefault(self._unit(room), []).append(index)
        for unit, indices in by_unit.items():
            most = _factors(unit)[-1]
            run: list[int] = []
            filled = (0, 0, 0)
            for index in indices:
                more = _sum(filled, rooms[index])
                if run and _needed(more, unit) > most:
                    yield run
                    run, more = [], rooms[index]
                run.append(index)
                filled = more
            yield run

    def _room(self, rows: Rows) -> Counts:
        """What a request takes of a run: a row of something even if it has none."""
        return rows.counts if any(rows.counts) else self._unit((0, 0, 0))

    def _times(self, unit: Counts, factor: int) -> Counts:
        images, clips, windows = (
            max(factor * each, least) for each, least in zip(unit, self.least, strict=True)
        )
        return images, clips, windows

    def _unit(self, counts: Counts) -> Counts:
        images, clips, windows = counts
        if not (clips or windows) and self.video[0]:
            return (1, 0, 0)
        if not (images or clips) and self.video[2]:
            return (0, 0, 1)
        return self.video


@cache
def _factors(unit: Counts) -> list[int]:
    """How many units prepared runs hold, ascending: powers of two; 1 in any case."""
    powers = [2**exponent for exponent in range(_MOST_ROWS.bit_length())]
    return [1, *(power for power in powers[1:] if _FEW_ROWS <= power * max(unit) <= _MOST_ROWS)]


@cache
def _most(unit: Counts) -> tuple[float, float, float]:
    """Rows of each kind in the largest prepared run; infinite if it has none, as then nobody has any."""
    images, clips, windows = (_factors(unit)[-1] * each or math.inf for each in unit)
    return images, clips, windows


def _sum(one: Counts, other: Counts) -> Counts:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _needed(counts: Counts, unit: Counts) -> int:
    """How many times `unit` covers `counts`; at least once."""
    needed = 1
    for count, each in zip(counts, unit, strict=True):
        if each:
            needed = max(needed, -(-count // each))
    return needed


def _power_of_two(at_least: int) -> int:
    return 1 << (at_least - 1).bit_length()
