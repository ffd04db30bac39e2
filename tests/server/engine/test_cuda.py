import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_int, c_size_t, c_uint, c_void_p
from threading import Event

import numpy as np
import pytest

from server.engine import cuda
from server.engine.cuda import Memory, Turns
from server.errors import EngineFailed
from tests.waiting import until


class Library:
    """CUDA's runtime, of which the device's memory is some of the host's.

    Attributes:
        blocks, locked: what is taken of the device, and which of the host's is page-locked, by address.
        fails: names of functions that fail.
        errors: of those who called.
    """

    def __init__(self) -> None:
        self.blocks: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self.locked: dict[int, int] = {}
        self.fails: set[str] = set()
        self.errors: list[Exception] = []
        self.cudaMalloc = self._function("malloc", self._malloc, c_void_p, c_size_t)
        self.cudaFree = self._function("free", self.blocks.pop, c_void_p)
        self.cudaHostRegister = self._function("lock", self._lock, c_void_p, c_size_t, c_uint)
        self.cudaHostUnregister = self._function("unlock", self._unlock, c_void_p)
        self.cudaMemcpy = self._function("copy", self._copy, c_void_p, c_void_p, c_size_t, c_int)

    def _function(self, name: str, does: Callable[..., object], *types: type) -> Callable[..., int]:
        def call(*given: int) -> int:
            if name in self.fails:
                return 2
            try:
                does(*given)
            except Exception as error:  # would only be printed
                self.errors.append(error)
            return 0

        return ctypes.CFUNCTYPE(c_int, *types)(call)

    def _malloc(self, place: int, size: int) -> None:
        block = ctypes.create_string_buffer(size)
        self.blocks[ctypes.addressof(block)] = block
        c_void_p.from_address(place).value = ctypes.addressof(block)

    def _lock(self, address: int, size: int, flags: int) -> None:
        assert not flags
        self.locked[address] = size

    def _unlock(self, address: int) -> None:
        # It must be there still.
        ctypes.memset(address, 0, self.locked.pop(address))

    def _copy(self, to: int, source: int, size: int, kind: int) -> None:
        on_device, on_host = (to, source) if kind == 1 else (source, to)
        assert size <= len(self.blocks[on_device])
        assert "lock" in self.fails or size <= self.locked[on_host]
        ctypes.memmove(to, source, size)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    library = Library()
    with monkeypatch.context() as loading:
        for loads in ("CDLL", "PyDLL"):
            loading.setattr(ctypes, loads, lambda *_: library)
        runtime = cuda._Runtime("cudart", 0)
    monkeypatch.setattr(cuda, "_runtime", lambda: runtime)
    yield library
    assert not library.errors


@pytest.mark.parametrize("size", [100, 2**21])
def test_what_is_on_the_device_is_freed_with_what_is_locked(library: Library, size: int) -> None:
    memory = Memory(size, True)
    assert memory.device == "cuda"
    assert {memory.address: size} == {address: len(block) for address, block in library.blocks.items()}
    assert library.locked == {memory.host.ctypes.data: size}
    memory.host[:] = 7
    memory.upload(60)
    memory.host[:] = 0
    memory.download()
    assert memory.host[:61].tolist() == [*[7] * 60, 0]
    del memory
    assert not library.blocks
    assert not library.locked


def test_a_device_without_room_keeps_nothing_locked(library: Library) -> None:
    library.fails.add("malloc")
    with pytest.raises(EngineFailed, match="no 100 bytes"):
        Memory(100, True)
    assert not library.locked


def test_memory_that_cannot_be_locked_is_used_as_it_is(library: Library) -> None:
    library.fails.add("lock")
    memory = Memory(100, True)
    memory.upload(100)
    memory.download()
    del memory
    assert not library.blocks


def test_a_copy_that_fails_is_an_error(library: Library) -> None:
    memory = Memory(100, True)
    library.fails.add("copy")
    for copy in (memory.download, lambda: memory.upload(100)):
        with pytest.raises(EngineFailed, match="could not copy"):
            copy()


@pytest.mark.parametrize("cuda", [False, True])
def test_without_a_device_memory_is_the_hosts(cuda: bool) -> None:
    memory = Memory(100, cuda)
    if memory.device == "cuda":
        pytest.skip("there is a device")
    assert memory.address == memory.host.ctypes.data
    memory.host[:] = np.arange(100)
    memory.upload(100)
    memory.download()
    assert memory.host.tolist() == list(range(100))


def test_one_is_alone_while_others_wait_and_those_who_came_first_are_let_finish() -> None:
    turns, done, began = Turns(), Event(), Event()
    said = []

    def together(name: str, until_done: bool = False) -> None:
        with turns.together():
            said.append(f"{name} begins")
            if until_done:
                began.set()
                done.wait(30)
            said.append(f"{name} ends")

    def alone() -> None:
        with turns.alone():
            said.append("alone begins")
            said.append("alone ends")

    with ThreadPoolExecutor() as pool:
        pool.submit(together, "first", True)
        assert began.wait(30)
        pool.submit(together, "second").result(30)
        waiting = pool.submit(alone)
        until(lambda: turns._alone)
        late = pool.submit(together, "third")
        assert not late.done()
        assert not waiting.done()
        done.set()
    assert said == [
        "first begins",
        "second begins",
        "second ends",
        "first ends",
        "alone begins",
        "alone ends",
        "third begins",
        "third ends",
    ]


def test_an_error_ends_a_turn() -> None:
    turns = Turns()
    for turn in (turns.alone, turns.together, turns.alone):
        with pytest.raises(ZeroDivisionError), turn():
            raise ZeroDivisionError
