"""Memory in which batches for a device are put together: kept from run to run, and page-locked with CUDA.

New memory costs a page fault for every 4 KiB, and from memory that the system may move CUDA copies by way
of another buffer of its own.
"""

import ctypes
import logging
import mmap
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

log = logging.getLogger(__name__)

Room = Callable[[tuple[int, ...], DTypeLike], NDArray[Any]]
"""Gives an array of a shape and a type, whose content is undefined."""

_ALIGNMENT = 256
_SMALLEST_BYTES = 2**20
_CUDA_RUNTIMES = ("libcudart.so.13", "libcudart.so.12")


class Staging:
    """Buffers for as many runs as there are at a time; each is as large as its largest batch needed."""

    def __init__(self) -> None:
        self._runtime = _cuda_runtime()
        self._lock = threading.Lock()
        self._free: list[_Buffer] = []

    @contextmanager
    def lend(self) -> Iterator[Room]:
        """Room for one batch; its arrays must not be used after that."""
        with self._lock:
            buffer = self._free.pop() if self._free else _Buffer(self._runtime)
        try:
            yield buffer.begin()
        finally:
            with self._lock:
                self._free.append(buffer)


class _Buffer:
    """Grows after a batch that did not fit, which got other memory for what was too much."""

    def __init__(self, runtime: ctypes.CDLL | None) -> None:
        self._runtime = runtime
        self._memory = np.zeros(0, np.uint8)
        self._asked = 0

    def begin(self) -> Room:
        if self._asked > self._memory.nbytes:
            self._memory = _memory(1 << (self._asked - 1).bit_length(), self._runtime)
        self._asked = 0
        return self._array

    def _array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        start = self._asked
        self._asked += -(-size // _ALIGNMENT) * _ALIGNMENT
        if self._asked > self._memory.nbytes:
            return np.empty(shape, dtype)
        return self._memory[start : start + size].view(dtype).reshape(shape)


def _memory(size: int, runtime: ctypes.CDLL | None) -> NDArray[np.uint8]:
    memory = np.frombuffer(mmap.mmap(-1, max(size, _SMALLEST_BYTES)), np.uint8)
    if runtime:
        address = ctypes.c_void_p(memory.ctypes.data)
        if status := runtime.cudaHostRegister(address, ctypes.c_size_t(memory.nbytes), 0):
            log.info("memory cannot be locked for CUDA (status %d), and batches are copied slower", status)
        else:
            weakref.finalize(memory, runtime.cudaHostUnregister, address).atexit = False
    return memory


def _cuda_runtime() -> ctypes.CDLL | None:
    """The one that ONNX Runtime uses; None without CUDA."""
    for name in _CUDA_RUNTIMES:
        try:
            return ctypes.CDLL(name, os.RTLD_NOLOAD | os.RTLD_NOW)
        except OSError:
            continue
    return None
