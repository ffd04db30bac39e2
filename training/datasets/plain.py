"""A plain folder: {real,fake}/{images,videos,audio}/, no official split.

Files of one name (without suffix) are one source, and the folder between names a fake's
manipulation: fake/videos/face_swap/anna.mp4 was made from real/videos/anna.mp4.
"""

from pathlib import Path

from training.datasets.listing import Dataset, Entries, MediaFile, Unusable, identity
from training.settings import Modality

MODALITY_FOLDERS: dict[str, Modality] = {"images": "image", "videos": "video", "audio": "audio"}
LABEL_FOLDERS = {"real": 0, "fake": 1}


def _found_in(root: Path) -> bool:
    return any((root / label / kind).is_dir() for label in LABEL_FOLDERS for kind in MODALITY_FOLDERS)


def _read(root: Path) -> Entries:
    for label_name, label in LABEL_FOLDERS.items():
        for modality_name, modality in MODALITY_FOLDERS.items():
            folder = root / label_name / modality_name
            for path in folder.rglob("*"):
                if path.is_symlink() and path.is_dir():
                    yield Unusable(path, "LINK: folders that are links are not followed")
                elif path.is_file() and not path.name.startswith("."):
                    yield _entry(path, folder, modality, label)


def _entry(path: Path, folder: Path, modality: Modality, label: int) -> MediaFile:
    method = path.parent.relative_to(folder).as_posix()
    manipulation = "unknown" if method == "." else method
    return MediaFile(
        path,
        modality,
        label,
        (identity("name", path.stem),),
        manipulation=manipulation if label else "none",
    )


PLAIN = Dataset("plain", _found_in, _read)
