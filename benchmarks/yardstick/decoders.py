"""The decoders alone, as what serves photos cannot be faster than they are."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from benchmarks.material.media import generated_photos
from benchmarks.processes import own_cpu_seconds
from benchmarks.yardstick.sample import Sample, sampled
from server.engine.cores import usable_cores
from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.types import RowSpec

PHOTOS = 8

Decode = Callable[[int], object]
"""Decodes the photo of a number."""


@contextmanager
def decoding(size: tuple[int, int]) -> Iterator[Decode]:
    """A pool of decoders, for photos to height × width."""
    photos = generated_photos(PHOTOS)
    spec = RowSpec(height=size[0], width=size[1])
    with closing(DecodePool(usable_cores(), MediaLimits())) as pool:
        yield lambda number: pool.submit(photos[number % PHOTOS], spec, None).result()


def sample(decode: Decode, seconds: float, warm_up: float) -> Sample:
    """Measures them with enough to do."""
    return sampled(decode, 2 * usable_cores(), seconds, warm_up, own_cpu_seconds)
