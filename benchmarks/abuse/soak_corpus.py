"""What a soak sends, whole and broken, and what each of it is answered with when nothing else runs."""

import random
from dataclasses import dataclass
from pathlib import Path

from benchmarks.abuse.outcome import OK
from benchmarks.material.media import SHARES, generated_media
from clients import DetectionError, Detector


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is sent.

    Attributes:
        files: their paths.
        weights: how often each is sent, in relation to the others.
        expected: what each must be answered with: a code, and the probability of fake or None.
    """

    files: list[str]
    weights: list[float]
    expected: list[tuple[str, float | None]]


def make_corpus(folder: Path, broken_share: float, target: str) -> Corpus:
    """Writes generated media into the folder, and has each judged alone by the server at `target`.

    Args:
        broken_share: of what is sent; 0: there are no broken files.
        target: host:port.
    """
    contents: list[bytes] = []
    weights: list[float] = []
    for kind, whole in generated_media().items():
        broken = [damaged(content, seed) for seed, content in enumerate(whole)] if broken_share else []
        contents += [*whole, *broken]
        weights += [SHARES[kind] * (1 - broken_share) / len(whole)] * len(whole)
        weights += [SHARES[kind] * broken_share / len(whole)] * len(broken)
    files = []
    for number, content in enumerate(contents):
        file = folder / f"medium-{number}"
        file.write_bytes(content)
        files.append(str(file))
    with Detector(target, timeout=60) as detector:
        expected = [_alone(detector, content) for content in contents]
    return Corpus(files, weights, expected)


def damaged(content: bytes, seed: int) -> bytes:
    """A file cut short, with bytes overwritten, or with another one's head; always the same for a seed."""
    chance = random.Random(seed)
    match seed % 3:
        case 0:
            return content[: len(content) // chance.randint(2, 50)]
        case 1:
            spoiled = bytearray(content)
            for _ in range(max(1, len(content) // 200)):
                spoiled[chance.randrange(len(content))] = chance.randrange(256)
            return bytes(spoiled)
        case _:
            return chance.choice([b"RIFF", b"\x89PNG\r\n\x1a\n", b"#EXTM3U\n", b"%PDF-1.7\n"]) + content[64:]


def _alone(detector: Detector, content: bytes) -> tuple[str, float | None]:
    try:
        return OK, detector.detect(content).fake_probability
    except DetectionError as error:
        return error.code, None
