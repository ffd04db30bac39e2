"""ASVspoof 2021 (Liu et al., 2023), logical access and deepfake: an evaluation set, for testing only.

keys/{LA,DF}/CM/trial_metadata.txt  SPEAKER TRIAL CODEC SOURCE ATTACK KEY TRIM SUBSET …, as in
    "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval"
ASVspoof2021_{LA,DF}_eval/flac/TRIAL.flac

Beside CM, the published keys have those of speaker verification, ASV, in files of the same name.
"""

from collections.abc import Iterator
from pathlib import Path

from training.datasets.asvspoof2019 import COLLECTION, KEYS
from training.datasets.listing import Dataset, Entries, MediaFile, Unusable, identity, shallow
from training.errors import DataError

_LISTINGS = ("LA/CM/trial_metadata.txt", "DF/CM/trial_metadata.txt")
_FLAC_FOLDER = "ASVspoof2021_*_eval/flac"


def _found_in(root: Path) -> bool:
    return next(_listings(root), None) is not None


def _listings(root: Path) -> Iterator[Path]:
    for pattern in _LISTINGS:
        yield from shallow(root, pattern, depth=2)


def _read(root: Path) -> Entries:
    folders = {path.parent.name.split("_")[1]: path for path in shallow(root, _FLAC_FOLDER, depth=2)}
    for listing in _listings(root):
        listed: dict[str, set[str]] = {}
        with listing.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                columns = line.split()
                if len(columns) < 6 or columns[5] not in KEYS:
                    raise DataError(f"{listing}, line {number}: no bonafide or spoof in column 6")
                speaker, trial, codec, _, attack, key = columns[:6]
                part = trial.split("_")[0]
                listed.setdefault(part, set()).add(trial)
                yield MediaFile(
                    folders.get(part, root / f"ASVspoof2021_{part}_eval" / "flac") / f"{trial}.flac",
                    "audio",
                    KEYS[key],
                    (identity(COLLECTION, speaker),),
                    ("test",),
                    attack if KEYS[key] else "none",
                    codec,
                )
        for part, trials in listed.items():
            for path in folders[part].glob("*.flac") if part in folders else ():
                if path.stem not in trials:
                    yield Unusable(path, f"UNLISTED: {listing} does not name it")


ASVSPOOF2021 = Dataset("asvspoof2021", _found_in, _read)
