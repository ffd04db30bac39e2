"""Anything that decodes, as it is compared with others."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.types import RowSpec

RGB = NDArray[np.uint8]
Decode = Callable[[Any], RGB]

Medium = TypeVar("Medium")

SIDE = 256
LIMITS = MediaLimits()


@dataclass(frozen=True, slots=True)
class Decoder:
    """One way to decode.

    Attributes:
        opened: is told how many media will be decoded at once; its context gives what decodes one.
        reduced: whether it leaves out detail of the photo before it scales.
    """

    name: str
    opened: Callable[[int], AbstractContextManager[Decode]]
    reduced: bool = False


def in_process(name: str, function: Decode, reduced: bool = False) -> Decoder:
    """A function of this process, which several threads may call at once."""
    return Decoder(name, lambda _: nullcontext(function), reduced)


def pooled(name: str, spec: RowSpec, read: Callable[[Any], bytes], picked: int | slice) -> Decoder:
    """Our decoding processes, with the way to them and back.

    Args:
        read: the bytes of a medium.
        picked: which of its frames are the answer.
    """

    @contextmanager
    def opened(workers: int) -> Iterator[Decode]:
        with closing(DecodePool(workers, LIMITS)) as pool:
            yield lambda medium: pool.submit(read(medium), spec, None).result().frames[picked]

    return Decoder(name, opened)


def installed(
    libraries: Sequence[Callable[[Medium], list[Decoder]]], medium: Medium
) -> tuple[list[Decoder], list[str]]:
    """The libraries' decoders for a medium, and the libraries that are not installed, with the reasons."""
    found, missing = [], []
    for library in libraries:
        try:
            found += library(medium)
        except (ImportError, OSError, RuntimeError) as error:
            # PyTurboJPEG finds its library only where the system has it.
            missing.append(f"{library.__name__.removeprefix('_')} ({error})")
    return found, missing


def opencv() -> tuple[Any, Callable[[RGB], RGB]]:
    """The library, and how it shrinks a picture."""
    cv2 = importlib.import_module("cv2")
    # Media are decoded side by side, as everybody here does.
    cv2.setNumThreads(1)
    return cv2, lambda pixels: cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
