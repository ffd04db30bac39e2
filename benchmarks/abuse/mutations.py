"""Files that are almost whole."""

import random
import struct
from collections.abc import Iterator

_LIES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEADER = 512


def mutations(whole: dict[str, bytes], files: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`files` mutants with "<format> <number>"; the same for the same seed."""
    names = sorted(whole)
    for number in range(files):
        chance = random.Random(f"{seed} {number}")
        name = names[number % len(names)]
        mutant = bytearray(whole[name])
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            mutate = chance.choice((_flip, _lie, _cut, _overwrite, _repeat, _remove, _splice))
            mutate(mutant, chance, whole[chance.choice(names)])
        yield f"{name} {number}", bytes(mutant)


def _flip(content: bytearray, chance: random.Random, other: bytes) -> None:  # noqa: ARG001
    for _ in range(chance.choice((1, 4, 64))):
        if content:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _lie(content: bytearray, chance: random.Random, _: bytes) -> None:
    """Sizes and counts that are not true, where headers hold them."""
    order = chance.choice("<>")
    width = chance.choice("BHI")
    size = struct.calcsize(width)
    start = chance.randrange(max(1, min(_HEADER, len(content)) - size))
    value = chance.choice(_LIES) % 256**size
    content[start : start + size] = struct.pack(order + width, value)


def _cut(content: bytearray, chance: random.Random, _: bytes) -> None:
    del content[chance.randrange(len(content) + 1) :]


def _overwrite(content: bytearray, chance: random.Random, _: bytes) -> None:
    start, length = _part(content, chance)
    content[start : start + length] = chance.randbytes(length)


def _repeat(content: bytearray, chance: random.Random, _: bytes) -> None:
    start, length = _part(content, chance)
    content[start:start] = content[start : start + length] * chance.choice((1, 2, 8))


def _remove(content: bytearray, chance: random.Random, _: bytes) -> None:
    start, length = _part(content, chance)
    del content[start : start + length]


def _splice(content: bytearray, chance: random.Random, other: bytes) -> None:
    """The rest becomes that of a file of another format."""
    position = chance.randrange(len(content) + 1)
    content[position:] = other[chance.randrange(len(other)) :]


def _part(content: bytearray, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(content) + 1)
    return start, min(len(content) - start, chance.choice((1, 4, 64, 1024)))
