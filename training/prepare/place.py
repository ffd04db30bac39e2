"""Where a prepared file and its mask lie: where they were, or linked or copied into the data folder."""

import os
import shutil
from pathlib import Path

from training.datasets.plain import LABEL_FOLDERS, MODALITY_FOLDERS, PLAIN
from training.prepare.journal import ListedFile
from training.prepare.settings import Place

_LABELS = {label: name for name, label in LABEL_FOLDERS.items()}
_MODALITIES = {modality: name for name, modality in MODALITY_FOLDERS.items()}

_Stamp = tuple[int, int]


def place_file(file: ListedFile, output: Path, place: Place) -> str:
    """Puts the file there, unless it is there already; gives its path as the CSVs state it.

    A link is a hard link, or a symbolic one to another file system. In the data folder files lie in
    {real,fake}/{images,videos,audio}/<data set>/<name>.
    """
    return _placed(Path(file.path), _inside(file), (file.size, file.mtime_ns), output, place)


def place_mask(file: ListedFile, output: Path, place: Place) -> str:
    """The same with its mask, at masks/<path of the file>; empty if it has none."""
    if not file.mask:
        return ""
    source = Path(file.mask)
    inside = Path("masks", f"{_inside(file)}{source.suffix}")
    return _placed(source, inside, _stamp(source), output, place)


def _inside(file: ListedFile) -> Path:
    # Names of a plain folder begin with these folders already.
    if file.dataset == PLAIN.name:
        return Path(file.name)
    return Path(_LABELS[file.label], _MODALITIES[file.modality], file.dataset, file.name)


def _placed(source: Path, relative: Path, stamp: _Stamp | None, output: Path, place: Place) -> str:
    if place == "reference":
        return (source.relative_to(output) if source.is_relative_to(output) else source).as_posix()
    target = output / relative
    stale = place == "copy" and target.is_symlink()  # of an earlier --place link
    if target != source and (stale or _stamp(target) != stamp):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        part.unlink(missing_ok=True)
        (_link if place == "link" else shutil.copy2)(source, part)
        part.replace(target)  # a kill leaves no half of a file
    return relative.as_posix()


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        target.symlink_to(source)
