"""FaceForensics++ (Rössler et al., ICCV 2019), with FaceShifter and DeepFakeDetection in it.

    original_sequences/{youtube,actors}/{raw,c23,c40}/videos/
    manipulated_sequences/<manipulation>/{raw,c23,c40}/videos/<target>_<source>.mp4
    splits/{train,val,test}.json        pairs of YouTube ids; both orders of a pair are fakes of its split

The actors of DeepFakeDetection (<target>_<source>__<scene>__<code>.mp4) have no official split.
"""

import json
from pathlib import Path

from training.datasets.listing import (
    ANY_SPLIT,
    VIDEO_SUFFIXES,
    Dataset,
    Entries,
    MediaFile,
    Unusable,
    identity,
    media_files,
)
from training.errors import DataError
from training.sample import SPLITS, Split

_COMPRESSIONS = ("raw", "c23", "c40")
_ACTORS = "DeepFakeDetection"


def _found_in(root: Path) -> bool:
    return (root / "original_sequences").is_dir() or (root / "manipulated_sequences").is_dir()


def _read(root: Path) -> Entries:
    official = _official_splits(root / "splits")
    for part, label in (("original_sequences", 0), ("manipulated_sequences", 1)):
        for kind in sorted(path for path in (root / part).glob("*") if path.is_dir()):
            for compression in _COMPRESSIONS:
                for path in media_files(kind / compression / "videos", VIDEO_SUFFIXES):
                    yield _entry(path, kind.name, label, compression, official)


def _entry(
    path: Path, kind: str, label: int, compression: str, official: dict[str, Split]
) -> MediaFile | Unusable:
    collection = "actors" if kind in ("actors", _ACTORS) else "youtube"
    ids = path.stem.split("__")[0].split("_")
    if len(ids) != 1 + label:
        return Unusable(path, "NAME: not that of a FaceForensics++ video")
    splits = {official.get(name) for name in ids} if official and collection == "youtube" else {None}
    if len(splits) > 1:
        return Unusable(path, f"SPLIT: the official splits of {' and '.join(ids)} differ")
    split = splits.pop()
    if official and collection == "youtube" and split is None:
        return Unusable(path, f"SPLIT: {ids[0]} is in none of the official splits")
    return MediaFile(
        path,
        "video",
        label,
        tuple(identity(f"faceforensics-{collection}", name) for name in ids),
        ANY_SPLIT if split is None else (split,),
        kind if label else "none",
        compression,
    )


def _official_splits(folder: Path) -> dict[str, Split]:
    """The split of every YouTube id; empty if the folder is missing."""
    official: dict[str, Split] = {}
    for split in SPLITS:
        listing = folder / f"{split}.json"
        if not listing.is_file():
            continue
        try:
            pairs = json.loads(listing.read_text(encoding="utf-8"))
            official |= {name: split for first, second in pairs for name in (first, second)}
        except (ValueError, TypeError) as error:
            raise DataError(f"{listing} is not a list of pairs of ids: {error}") from error
    return official


FACEFORENSICS = Dataset("faceforensics", _found_in, _read)
