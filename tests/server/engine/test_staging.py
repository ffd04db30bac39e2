import numpy as np

from server.engine.staging import Staging


def test_memory_is_used_again_once_it_is_large_enough() -> None:
    staging = Staging()
    addresses = []
    for _ in range(3):
        with staging.lend() as room:
            frames, sound = room((7, 3, 5), np.uint8), room((2, 1000), np.float32)
            assert (frames.shape, frames.dtype.name) == ((7, 3, 5), "uint8")
            assert (sound.shape, sound.dtype.name) == ((2, 1000), "float32")
            frames[:], sound[:] = 1, 2
            assert (frames == 1).all()
            assert (sound == 2).all()
            addresses.append((frames.ctypes.data, sound.ctypes.data))
    assert addresses[1] == addresses[2]


def test_runs_at_the_same_time_have_memory_of_their_own() -> None:
    staging = Staging()
    for _ in range(2):
        with staging.lend() as one, staging.lend() as other:
            first, second = one((1000,), np.uint8), other((1000,), np.uint8)
            first[:], second[:] = 1, 2
            assert (first == 1).all()


def test_a_batch_without_sound_needs_no_room_for_it() -> None:
    with Staging().lend() as room:
        assert room((0, 1000), np.float32).shape == (0, 1000)
