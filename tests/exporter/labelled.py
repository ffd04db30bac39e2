"""Folders of labelled media, as they are prepared for a training."""

from pathlib import Path

from tests import media
from training.sample import Sample, Split, write_samples
from training.settings import Modality

_KINDS: dict[str, Modality] = {"jpg": "image", "mp4": "video", "wav": "audio"}


def write_labelled(folder: Path, *files: tuple[str, Split]) -> Path:
    """A medium for each suffix and split, `NUMBER.SUFFIX`, real and fake by turns; gives the folder."""
    samples = []
    for number, (suffix, split) in enumerate(files):
        name = f"{number}.{suffix}"
        (folder / name).write_bytes(_medium(suffix, number))
        samples.append(Sample(name, _KINDS[suffix], number % 2, split, name))
    write_samples(folder / "corpus.csv", samples)
    return folder


def _medium(suffix: str, seed: int) -> bytes:
    if suffix == "mp4":
        return media.video_mp4(0.5)
    return media.photo_jpeg(64, 48, seed) if suffix == "jpg" else media.speech_wav(1.0, seed)
