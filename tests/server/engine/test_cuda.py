from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from server.engine.cuda import Memory, Turns
from tests.waiting import until


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
