"""WaveFake (Frank & Schönherr, NeurIPS 2021 data sets): no protocol, so utterances are the sources.

    generated_audio/{ljspeech,jsut}_<vocoder>/<utterance>_gen.wav
    LJSpeech-1.1/wavs/<utterance>.wav   jsut_ver1.1/basic5000/wav/<utterance>.wav     the originals

Each collection is of one speaker, who cannot be kept out of any split; an utterance can.
"""

from pathlib import Path

from training.datasets.listing import (
    SOUND_SUFFIXES,
    Dataset,
    Entries,
    MediaFile,
    identity,
    media_files,
    shallow,
)

_FAKES = ("ljspeech_*", "jsut_*_*", "common_voices_prompts_*")
_ORIGINALS = ("LJSpeech*", "jsut_ver*")
_GENERATED = ("_generated", "_gen")


def _found_in(root: Path) -> bool:
    return any(path.is_dir() for pattern in _FAKES for path in shallow(root, pattern, depth=1))


def _read(root: Path) -> Entries:
    originals = [path for pattern in _ORIGINALS for path in shallow(root, pattern, depth=1) if path.is_dir()]
    fakes = [path for pattern in _FAKES for path in shallow(root, pattern, depth=1) if path.is_dir()]
    for folder in originals:
        for path in media_files(folder, SOUND_SUFFIXES):
            yield MediaFile(path, "audio", 0, (identity(_collection(folder), path.stem),))
    for folder in (path for path in fakes if path not in originals):
        for path in media_files(folder, SOUND_SUFFIXES):
            yield _fake(path, folder)


def _fake(path: Path, folder: Path) -> MediaFile:
    utterance = path.stem
    for ending in _GENERATED:
        utterance = utterance.removesuffix(ending)
    collection = _collection(folder)
    vocoder = folder.name.removeprefix(f"{collection}_")
    return MediaFile(path, "audio", 1, (identity(collection, utterance),), manipulation=vocoder)


def _collection(folder: Path) -> str:
    """Whose sentences a folder holds."""
    return next(
        (name for name in ("ljspeech", "jsut") if folder.name.lower().startswith(name)),
        "common_voices_prompts",
    )


WAVEFAKE = Dataset("wavefake", _found_in, _read)
