import numpy as np
import pytest

from training.prepare import near
from training.prepare.near import MAX_DISTANCE, near_pairs


def _flipped(fingerprint: np.ndarray, bits: list[int]) -> np.ndarray:
    signs = np.unpackbits(fingerprint)
    signs[bits] ^= 1
    return np.packbits(signs)


@pytest.mark.parametrize("at_once", [7, near._PAIRS_AT_ONCE])
def test_finds_exactly_the_pairs_that_comparing_all_with_all_finds(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(near, "_PAIRS_AT_ONCE", at_once)
    random = np.random.default_rng(0)
    some = random.integers(0, 256, (600, 32), dtype=np.uint8)
    for index in range(200):
        # Spread over all slices, as only few places let a pair hide.
        bits = random.choice(256, random.integers(1, 24), replace=False)
        some[400 + index] = _flipped(some[index], bits.tolist())
    signs = np.unpackbits(some, axis=1).astype(np.int32)
    ones = signs.sum(1)
    distance = ones[:, None] + ones - 2 * signs @ signs.T
    expected = np.argwhere(np.triu(distance <= MAX_DISTANCE, 1))
    assert 100 < len(expected) < 200
    assert near_pairs(some, np.zeros(600, np.uint8)).tolist() == expected.tolist()


def test_the_first_of_equal_fingerprints_stands_for_all() -> None:
    one, two = np.random.default_rng(1).integers(0, 256, (2, 32), dtype=np.uint8)
    close = _flipped(one, [0])
    some = np.stack([one, two, one, close, one])
    assert near_pairs(some, np.zeros(5, np.uint8)).tolist() == [[0, 2], [0, 3], [0, 4]]


def test_equal_fingerprints_of_one_label_are_a_pair_whatever_comes_before_them() -> None:
    same = np.random.default_rng(1).integers(0, 256, (1, 32), dtype=np.uint8).repeat(3, 0)
    assert [1, 2] in near_pairs(same, np.array([1, 0, 0], np.uint8)).tolist()


def test_nothing_is_near_nothing() -> None:
    assert near_pairs(np.zeros((0, 32), np.uint8), np.zeros(0, np.uint8)).shape == (0, 2)
