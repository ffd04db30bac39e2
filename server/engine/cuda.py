"""What runs need of CUDA beside ONNX Runtime: memory on the device, and to be alone while one is captured."""

import ctypes
import logging
import mmap
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache as once
from threading import Condition

import numpy as np
from numpy.typing import NDArray

from server.errors import EngineFailed

log = logging.getLogger(__name__)

_RUNTIMES = ("libcudart.so.13", "libcudart.so.12")
_TO_DEVICE, _TO_HOST = 1, 2
_BLOCKING_SYNC = 4
# Copying less takes no longer than waiting for Python's lock, which another thread takes once it is free.
_FEW_BYTES = 2**20


class Memory:
    """A block of memory on the device, and the host's mirror of it; without a device they are the same.

    The host's is page-locked: from memory that the system may move, CUDA copies by way of another block.

    Args:
        size: bytes; above 0.
        cuda: whether there is a device.

    Attributes:
        host: uint8 [size].
        device: ONNX Runtime's name of where `address` is.
        address: of the block on the device.

    Raises:
        EngineFailed: the device has no such room.
    """

    def __init__(self, size: int, cuda: bool) -> None:
        self.host: NDArray[np.uint8] = np.frombuffer(mmap.mmap(-1, size), np.uint8)
        self._cuda = _runtime() if cuda else None
        self.device = "cuda" if self._cuda else "cpu"
        self.address = self._cuda.on_device(self) if self._cuda else self.host.ctypes.data

    def upload(self, size: int) -> None:
        """Copies the first bytes of the host's block to the device, and waits for it."""
        if self._cuda:
            self._cuda.copy(self.address, self.host.ctypes.data, size, _TO_DEVICE)

    def download(self) -> None:
        """Copies the device's block to the host, and waits for it."""
        if self._cuda:
            self._cuda.copy(self.host.ctypes.data, self.address, self.host.nbytes, _TO_HOST)


class Turns:
    """Lets threads use the device together, or one of them alone: a readers-writer lock, writers first."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._together = 0
        self._alone = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Waits for whoever is alone, or waits to be."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits for all others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: not self._together)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


TURNS = Turns()
"""Of this process: while CUDA captures a run, most calls of another thread fail, and break the capture."""


def available() -> bool:
    """Whether `Memory` can be on a device; to be asked when a session runs on it."""
    return _runtime() is not None


def configure() -> None:
    """Lets threads sleep while the device works, and cuBLAS take less of its memory.

    To be called before anything else uses CUDA, and after its library was loaded, if that is found elsewhere
    than the system looks.
    """
    # Each thread has one for each session. On Hopper it would be 32 MiB; this is what earlier devices have.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:2:16:8")
    runtime = _runtime()
    # By default a thread that waits keeps a core busy, which decoders need.
    if runtime and (status := runtime.library.cudaSetDeviceFlags(_BLOCKING_SYNC)):
        log.info("threads spin while CUDA works (status %d)", status)


class _Runtime:
    """The part of CUDA's runtime library that is needed here."""

    def __init__(self, name: str, mode: int) -> None:
        self.library = ctypes.CDLL(name, mode)
        # Keeps Python's lock during a call.
        self._at_once = ctypes.PyDLL(name, mode)
        for library in (self.library, self._at_once):
            library.cudaMemcpy.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        self.library.cudaMalloc.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        self.library.cudaHostRegister.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
        self.library.cudaFree.argtypes = self.library.cudaHostUnregister.argtypes = (ctypes.c_void_p,)

    def has_device(self) -> bool:
        count = ctypes.c_int()
        return not self.library.cudaGetDeviceCount(ctypes.byref(count)) and count.value > 0

    def on_device(self, memory: Memory) -> int:
        """Locks the host's block, and gives the address of one on the device, as long as `memory` lives."""
        host, size = memory.host.ctypes.data, memory.host.nbytes
        if status := self.library.cudaHostRegister(host, size, 0):
            log.info("memory cannot be locked for CUDA (status %d), and batches are copied slower", status)
        else:
            weakref.finalize(memory, self.library.cudaHostUnregister, host).atexit = False
        block = ctypes.c_void_p()
        if status := self.library.cudaMalloc(ctypes.byref(block), size):
            raise EngineFailed(
                f"CUDA gives no {size} bytes (status {status})", "Use a larger GPU, or --provider cpu."
            )
        weakref.finalize(memory, self.library.cudaFree, block).atexit = False
        return block.value or 0

    def copy(self, to: int, source: int, size: int, kind: int) -> None:
        library = self._at_once if size < _FEW_BYTES else self.library
        if status := library.cudaMemcpy(to, source, size, kind):
            raise EngineFailed(f"CUDA could not copy a batch (status {status})", "Restart the server.")


@once
def _runtime() -> _Runtime | None:
    """The one that ONNX Runtime loaded, or will; None if it is not known here, or has no device."""
    for mode in (os.RTLD_NOLOAD | os.RTLD_NOW, os.RTLD_NOW):
        for name in _RUNTIMES:
            try:
                runtime = _Runtime(name, mode)
            except OSError:
                continue
            return runtime if runtime.has_device() else None
    return None
