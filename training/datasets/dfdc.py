"""Deepfake Detection Challenge (Dolhansky et al., 2020): a `metadata.json` in every folder of videos.

    {"aaa.mp4": {"label": "FAKE", "split": "train", "original": "bbb.mp4"}, "bbb.mp4": {"label": "REAL", …}}

The published training parts call everything "train". Then there is no official split, and videos
of one original stay together; where several splits are named, they are kept.
"""

import json
from pathlib import Path
from typing import Any

from training.datasets.listing import (
    ANY_SPLIT,
    VIDEO_SUFFIXES,
    Dataset,
    Entries,
    MediaFile,
    Unusable,
    identity,
    media_files,
    shallow,
)
from training.errors import DataError
from training.sample import Split

_LISTING = "metadata.json"
_LABELS = {"REAL": 0, "FAKE": 1}
_SPLITS: dict[str, Split] = {"train": "train", "val": "val", "validation": "val", "test": "test"}


def _found_in(root: Path) -> bool:
    return next(shallow(root, _LISTING, depth=2), None) is not None


def _read(root: Path) -> Entries:
    folders = {listing.parent: _load(listing) for listing in shallow(root, _LISTING, depth=2)}
    named = {facts.get("split") for videos in folders.values() for facts in videos.values()}
    keep_official = len(named) > 1
    for folder, videos in folders.items():
        for name, facts in videos.items():
            yield _entry(folder / name, facts, keep_official)
        for path in media_files(folder, VIDEO_SUFFIXES):
            if path.parent == folder and path.name not in videos:
                yield Unusable(path, f"UNLISTED: {_LISTING} does not name it")


def _entry(path: Path, facts: dict[str, Any], keep_official: bool) -> MediaFile | Unusable:
    label, split = _LABELS.get(facts.get("label", "")), _SPLITS.get(facts.get("split", ""))
    if label is None:
        return Unusable(path, f"LABEL: {facts.get('label')!r} is neither REAL nor FAKE")
    if keep_official and split is None:
        return Unusable(path, f"SPLIT: {facts.get('split')!r} is no split")
    return MediaFile(
        path,
        "video",
        label,
        (identity("dfdc", facts.get("original") or path.name),),
        (split,) if keep_official and split else ANY_SPLIT,
        "dfdc" if label else "none",
    )


def _load(listing: Path) -> dict[str, dict[str, Any]]:
    try:
        videos = json.loads(listing.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{listing} is not JSON: {error}") from error
    if not isinstance(videos, dict) or not all(isinstance(facts, dict) for facts in videos.values()):
        raise DataError(f"{listing} does not map file names to their facts")
    return videos


DFDC = Dataset("dfdc", _found_in, _read)
